/* Whether two pictures that lie over one another have the same detail.
 *
 * Correlation over the whole picture is that of its layout: two coins, stamps or insects in the same
 * place before the same background correlate at 0.6 to 0.98, and two textures in the same discs too.
 * So small blocks are asked one by one, each for the correlation of what is left in it beside an even
 * slope, and the middle one's word counts: edges of the layout cross the fewer of them. Asked are those
 * in which both pictures have detail beyond noise, and about as much of it as one another, beside
 * their light: where one is much more blurred they have no scale in common (and the blur of a disc
 * turns finer detail over).
 *
 * Pure; used by process/cpu/ecc.c. Meant for about 200 pixels' width: at twice that, the first and last
 * frame of a bracket have little in common, at half of it layout is most of the detail.
 *
 * Measured on brackets of the generator (0.15 to 6 MP, seeds 1 to 3, all scenes): neighbours of six or
 * ten frames 0.84 and more, whether noisy (8 grey levels), shifted or deforming; first against last
 * 0.79 and more, 0.66 with twice to four times the blur, 0.52 where 25 px (2 MP) of deformation lie
 * between; fs_pcb, mcg and newto 0.68. The same stones and leaves with other textures on them: 0.16 to
 * 0.42; more where nothing else is to be seen: 0.67 where four times the blur hides the textures, 0.52
 * with the same bristles before them.
 */
#ifndef PF_CPU_LIKENESS_H
#define PF_CPU_LIKENESS_H

#define PF_LIKENESS_WIDTH 320 /* the largest level that suits, px */

/* Middle of the blocks' correlations, -1..1; 0 where too few can be asked; -ENOMEM. Pictures of light
 * (see ecc.h) without gaps between rows; valid: above 0.5 where `image` has a picture. */
int pf_likeness(const float *target, const float *image, const float *valid, int width, int height,
                double *ret);

#endif
