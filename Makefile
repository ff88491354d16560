# parfocal: make [run | test | bench | torture | fuzz | gpu-check | lint | install | deb | test-package | cross | clean | help]
#
#   SAN=address,undefined | SAN=thread   builds with sanitizers, in a directory of its own
#   ONLY=PATTERN[/TEST]                  tests to run        V=1   shows the commands
#   BUILD=DIR                            builds elsewhere
#   CUDA=auto|0|1                        with the GPU's kernels: if nvcc is there, no, yes
#   torture ONLY=PART                    the long torture tests whose names contain it
#   fuzz ONLY=PATTERN SECONDS=60         libFuzzer on the targets that match, so long each
#   NVCC= NVCC_CCBIN= CUDA_ARCH=all      which nvcc, and its host compiler; sm_90 and the like build faster than all
#   CROSS=aarch64-linux-gnu              for another architecture, whose libraries are here
#   CC= CFLAGS= LDFLAGS= PREFIX= DESTDIR=                    as everywhere
#
# A folder is a part of the program; sources are found by name:
#   config/ capture/ process/ service/   *.c            -> parfocal; all but main.o -> libparfocal.a
#   process/*.cpp                                       the same: what has no C interface
#   process/cpu/*_isa.c                  twice: -DPF_ISA=base, and -DPF_ISA=v3 for x86-64-v3
#   tests/unit/test_X.c                                 -> tests/test_X; others help them
#   tests/gen/*.c                                       -> tests/generate (its main: generate.c)
#   tests/bench/X.c                                     -> tests/X
#   tests/torture/X.c                                   -> tests/torture/X
#   tests/fuzz/fuzz_X.c                  with replay.c  -> tests/test_fuzz_X; with libFuzzer: make fuzz
#   tests/camera/*.c                                    -> tests/camera/camera, a camera for tests
#   tests/receiver/*.c                                  -> tests/receiver/receiver, who is posted to
#   service/page/*                       -> service/page_files.c, built into parfocal
#   process/cuda/X.c                     with them: the backend
#   process/cuda/X.cu                    by nvcc -> parfocal; by g++, for fibers -> tests/test_cuda_*
#   tests/cuda/test_cuda_X.cu            -> tests/test_cuda_X; others there help them
#   tests/nvjpeg/nvjpeg.c                -> tests/nvjpeg/whole/libnvjpeg.so.12, and one that lacks a part
#   tests/bench/gpu_*.cu                 -> tests/gpu_times, on fibers; on a GPU: make gpu-check

SHELL   := /bin/bash
comma   := ,
SAN     ?=
CROSS   ?=
BUILD   := build$(if $(CROSS),/$(CROSS))$(if $(SAN),/san-$(subst $(comma),-,$(SAN)))
PREFIX  ?= /usr/local
SYSCONF ?= $(if $(filter /usr,$(PREFIX)),,$(PREFIX))/etc
VERSION := $(or $(shell git describe --tags --always --dirty 2>/dev/null),unknown)
MACHINE := $(if $(CROSS),$(firstword $(subst -, ,$(CROSS))),$(shell uname -m))
JOBS    := $(if $(filter 0,$(MAKELEVEL)),-j$(shell nproc))
MAKEFLAGS += --no-builtin-rules $(JOBS)

# ---- Debian packages ------------------------------------------------------------------------
DEB_BUILD := gcc g++ libc6-dev pkg-config libevent-dev libexif-dev libsqlite3-dev \
             libjpeg-dev libtiff-dev libpng-dev zlib1g-dev libjansson-dev libinih-dev \
             libxxhash-dev libraw-dev liblcms2-dev libopencv-core-dev libopencv-imgproc-dev \
             libopencv-features2d-dev libopencv-calib3d-dev libopencv-video-dev libgphoto2-dev \
             libseccomp-dev libcurl4-openssl-dev libssl-dev libmosquitto-dev libudev-dev
# align = bspline runs elastix; nothing else needs it, and doctor says where it is missing.
DEB_RUN   := elastix
DEB_TEST  := $(DEB_RUN) chromium chromium-driver fonts-dejavu-core curl \
             jq bindfs fuse3 strace faketime rsync openssh-client util-linux procps \
             e2fsprogs acl \
             libimage-exiftool-perl sqlite3 mosquitto mosquitto-clients python3 systemd mandoc man-db zsh \
             umockdev libgphoto2-l10n locales gettext-base
DEB_BENCH := $(DEB_RUN) hugin-tools enfuse time jq
DEB_DEB   := debhelper dpkg-dev fakeroot lintian
DEB_LINT  := clang-format cppcheck
DEB_FUZZ  := clang-14 libclang-rt-14-dev
PKGS      := libevent_core libevent_extra libevent_pthreads libexif sqlite3 libjpeg libtiff-4 libpng zlib jansson inih \
             libxxhash lcms2 libgphoto2 libseccomp libcurl libcrypto libmosquitto libudev
# Debian's opencv4.pc names every module there is.
OPENCV    := -lopencv_video -lopencv_calib3d -lopencv_features2d -lopencv_imgproc -lopencv_core

# ---- flags ----------------------------------------------------------------------------------
CC := $(if $(filter default,$(origin CC)),$(CROSS:%=%-)gcc,$(CC))
CXX := $(if $(filter default,$(origin CXX)),$(CROSS:%=%-)g++,$(CXX))
# Another machine's programs run through an emulator, and it has no nvcc here.
PKG_CONFIG ?= $(if $(CROSS),PKG_CONFIG_LIBDIR=/usr/lib/$(CROSS)/pkgconfig:/usr/share/pkgconfig )pkg-config
ifneq ($(CROSS),)
RUN        ?= qemu-$(MACHINE)-static
override CUDA := 0
endif
# pkg-config is asked once, and not before the packages are there.
PKG_CFLAGS = $(eval PKG_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(PKGS)))$(PKG_CFLAGS)
PKG_LIBS   = $(eval PKG_LIBS := $(shell $(PKG_CONFIG) --libs $(PKGS)))$(PKG_LIBS)

WARN_BOTH := -Wall -Wextra -Wshadow -Wvla -Wpointer-arith -Wno-missing-field-initializers
WARNINGS := $(WARN_BOTH) -Wstrict-prototypes -Wmissing-prototypes
HARDENED := -D_FORTIFY_SOURCE=2 -fstack-protector-strong
# Sanitizers' checks take gcc twice as long to optimize, and their reports need lines only.
BOTH_FLAGS = -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -I. $(if $(SAN),-g1 -O1,-g -O2) -pthread \
            -fno-omit-frame-pointer \
            $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all,$(HARDENED))
C_FLAGS   = -std=c11 $(BOTH_FLAGS) $(WARNINGS) $(PKG_CFLAGS) $(CFLAGS)
CXX_FLAGS = -std=c++17 $(BOTH_FLAGS) $(WARN_BOTH) -isystem /usr/include/opencv4 $(CFLAGS)
LD_FLAGS  = -pthread $(if $(SAN),-fsanitize=$(SAN),-Wl$(comma)-z$(comma)relro$(comma)-z$(comma)now) \
            $(LDFLAGS)
# LibRaw's pkg-config asks for the C++ library's development files as well; its C interface does not.
LIBS      = $(PKG_LIBS) -lraw_r -lgomp $(OPENCV) -lstdc++ -lm

# ---- CUDA -----------------------------------------------------------------------------------
# Kernels need nothing but nvcc, and nothing else depends on them: whoever may use them refers to
# them weakly. CUDA_ARCH=all is machine code for every architecture nvcc knows, and PTX of the
# newest for those to come; native, for the GPUs that are here. What does not compile a trivial kernel is as
# good as none. A sanitizer sees nothing of what nvcc makes.
CUDA      ?= auto
CUDA_ARCH ?= all
NVCC      ?= $(firstword $(shell command -v nvcc) $(wildcard /usr/local/cuda/bin/nvcc))
# A toolkit may come without its static run-time, which is what the program is linked with.
CUDA_ROOT := $(patsubst %/bin/,%,$(dir $(realpath $(NVCC))))
CUDART    := $(if $(NVCC),$(firstword $(wildcard $(addsuffix /libcudart_static.a,$(CUDA_ROOT)/lib64 \
             $(CUDA_ROOT)/lib $(CUDA_ROOT)/targets/*/lib /usr/lib/$(MACHINE)-linux-gnu))))
CUDA_FLAGS = $(shell packaging/cuda-flags.sh '$(BUILD)' '$(NVCC)' '$(CXX)' '$(NVCC_CCBIN)' '$(CUDA_ARCH)')
CUDA_TRIED := $(if $(SAN)$(filter 0,$(CUDA)),,$(if $(CUDART),$(CUDA_FLAGS)))
NO_CUDA   := $(if $(CUDART),$(if $(filter without:,$(firstword $(CUDA_TRIED))),$(wordlist 2,99,$(CUDA_TRIED))),$(if $(NVCC), \
             $(NVCC) has no libcudart_static.a beside it,nvcc is neither on the PATH nor in /usr/local/cuda/bin; \
             NVCC= says which one to take))
HAVE_CUDA := $(if $(SAN)$(filter 0,$(CUDA))$(NO_CUDA),,$(NVCC))
ifeq ($(CUDA)$(HAVE_CUDA)$(SAN),1)
$(error CUDA=1, but $(strip $(NO_CUDA)))
endif
ifeq ($(CUDA)$(SAN)$(if $(NVCC),nvcc)$(HAVE_CUDA),autonvcc)
$(info without CUDA: $(strip $(NO_CUDA)))
endif
NVCC_FLAGS = -std=c++17 -O3 -I. -D_GNU_SOURCE $(CUDA_FLAGS) -Xcompiler -Wall,-Wextra,-Wno-missing-field-initializers
CUDA_LIBS  = $(CUDART) -ldl -lrt

# ---- what is made of what -------------------------------------------------------------------
ALL_C   := $(wildcard $(addsuffix /*.c,config config/base capture process process/cpu service service/http))
ISA_C   := $(filter %_isa.c,$(ALL_C))
PAGE    := $(sort $(wildcard $(addprefix service/page/,*.html *.css *.js *.svg *.webmanifest)))
ISAS    := base $(if $(filter x86_64,$(MACHINE)),v3)
OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(ISA_C) service/main.c,$(ALL_C))) \
           $(foreach isa,$(ISAS),$(patsubst %.c,$(BUILD)/%.$(isa).o,$(ISA_C))) \
           $(patsubst %.cpp,$(BUILD)/%.o,$(wildcard process/*.cpp)) $(BUILD)/service/page_files.o
GEN_C   := $(wildcard tests/gen/*.c)
HELP_C  := $(filter-out tests/unit/test_%,$(wildcard tests/unit/*.c))
GEN_O   := $(patsubst %.c,$(BUILD)/%.o,$(filter-out tests/gen/generate.c,$(GEN_C)) $(HELP_C))
GENERATE := $(if $(GEN_C),$(BUILD)/tests/generate)
CAMERA_O := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/camera/*.c))
CAMERA  := $(BUILD)/tests/camera/camera
RECEIVER := $(BUILD)/tests/receiver/receiver
BENCHES := $(patsubst tests/bench/%.c,$(BUILD)/tests/%,$(wildcard tests/bench/*.c))
# Rows of pixels without sanitizers, for the programs that scripts start: watched, they are two thirds of what `parfocal
# stack` takes. The same objects are watched in unit tests, in replays, and in HUNGRY.
WATCHED := $(findstring address,$(SAN))
BARE_O  := $(if $(WATCHED),$(foreach isa,$(ISAS),$(patsubst %.c,$(BUILD)/bare/%.$(isa).o,$(ISA_C))))
KERNELS := $(wildcard process/cuda/*.cu)
# The backend that launches them is C, and is there where they are.
BACKEND_O := $(patsubst %.c,$(BUILD)/%.o,$(wildcard process/cuda/*.c))
CUDA_O  := $(if $(HAVE_CUDA),$(KERNELS:%.cu=$(BUILD)/%.cu.o) $(BACKEND_O))
# ThreadSanitizer cannot follow fibers.
FIBER_C := $(if $(findstring thread,$(SAN)),,$(wildcard tests/cuda/*.cu))
FIBER_O := $(patsubst %.cu,$(BUILD)/fibers/%.o,$(KERNELS) $(filter-out tests/cuda/test_%,$(FIBER_C))) \
           $(patsubst %.cpp,$(BUILD)/%.o,$(wildcard tests/cuda/*.cpp)) $(BACKEND_O)
# The whole program with a GPU of fibers, for tests that start it.
ON_FIBERS := $(if $(FIBER_C),$(BUILD)/tests/parfocal-on-fibers)
# What that program may find in the place of NVIDIA's library.
NVJPEG  := $(if $(FIBER_C),$(patsubst %,$(BUILD)/tests/nvjpeg/%/libnvjpeg.so.12,whole lacking))
FIBERS  := $(patsubst tests/cuda/%.cu,$(BUILD)/tests/%,$(filter tests/cuda/test_%,$(FIBER_C)))
# What tests of kernels are linked with, on fibers as for a GPU (make gpu-check): no library.
GPU_C   := $(addprefix process/,$(addsuffix .c,align alpha convert coverage field field_fit \
           focal_planes focus_grid image judge light machine needs pool room stack warp)) \
           $(addprefix config/base/,$(addsuffix .c,array error time)) tests/cuda/without_libraries.c \
           $(wildcard process/cpu/*.c process/cuda/*.c)
GPU_C_O := $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(ISA_C),$(GPU_C))) \
           $(foreach isa,$(ISAS),$(patsubst %.c,$(BUILD)/%.$(isa).o,$(filter $(ISA_C),$(GPU_C))))
CLOCK_C := $(wildcard tests/bench/gpu_*.cu)
CLOCK   := $(if $(SAN),,$(BUILD)/tests/gpu_times)
# The whole program, for tests that start it with too little memory.
HUNGRY  := $(BUILD)/tests/parfocal-without-memory
UNITS   := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))
FUZZ_C  := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_O  := $(addprefix $(BUILD)/tests/fuzz/,fuzz.o decoder.o)
TORTURE := $(patsubst tests/torture/%.c,$(BUILD)/tests/torture/%,$(wildcard tests/torture/*.c))
REPLAYS := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/test_%,$(FUZZ_C))

.PHONY: all programs tested run test bench torture fuzz fuzzers gpu-check gpu-programs lint format install deb test-package cross clean help packages FORCE
.DELETE_ON_ERROR:
.SECONDARY:

all: $(BUILD)/parfocal
programs: tested $(UNITS) $(REPLAYS) $(FIBERS)

# What ONLY leaves of the tests, as tests/run does, and what scripts start.
named   = $(addprefix $(BUILD)/tests/,$(if $(ONLY),$(shell printf '%s\n' $(notdir $1) | \
              grep -E '$(firstword $(subst /, ,$(ONLY)))'),$(notdir $1)))
tested: all $(GENERATE) $(CAMERA) $(RECEIVER) $(TORTURE) $(ON_FIBERS) $(NVJPEG) $(CLOCK) $(HUNGRY) $(BENCHES) \
        $(call named,$(UNITS) $(REPLAYS) $(FIBERS))

# Libraries of another architecture are there already (packaging/cross.sh makes such a system).
NEED_PACKAGES ?= $(if $(CROSS),:,packaging/need-packages.sh $(DEB_BUILD))
packages:
	@$(NEED_PACKAGES)
	@packaging/warn-libevent.sh

# A file that changes only when its content would: whoever depends on it is rebuilt exactly then.
define if_changed # text
@mkdir -p $(@D); printf '%s\n' '$(subst ','\'',$1)' | cmp -s - $@ || \
    printf '%s\n' '$(subst ','\'',$1)' >$@
endef
$(BUILD)/flags: FORCE | packages
	$(call if_changed,$(CC) $(C_FLAGS) / $(ISA_FLAGS) / $(CXX) $(CXX_FLAGS) / $(LD_FLAGS) $(LIBS))
$(BUILD)/nvcc-flags: FORCE
	$(call if_changed,$(HAVE_CUDA) $(NVCC_FLAGS) $(CUDA_LIBS))
$(BUILD)/version: FORCE
	$(call if_changed,$(VERSION))
$(BUILD)/objects: FORCE
	$(call if_changed,$(OBJECTS) / $(GEN_O) / $(CUDA_O) / $(FIBER_O))

SAY = $(if $(V),,@printf '  %-4s %s\n' $1 $(patsubst $(BUILD)/%,%,$@);)
COMPILE = $(call SAY,CC)mkdir -p $(@D) && $(CC) $(C_FLAGS) $(EXTRA) -MMD -MP -c -o $@ $<
COMPILE_CXX = $(call SAY,CXX)mkdir -p $(@D) && $(CXX) $(CXX_FLAGS) $(EXTRA) -MMD -MP -c -o $@ $<
COMPILE_CUDA = $(call SAY,NVCC)mkdir -p $(@D) && $(NVCC) $(NVCC_FLAGS) -MMD -MP -c -o $@ $<
LINK    = $(call SAY,LD)mkdir -p $(@D) && $(CC) $(LD_FLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS) $(MORE_LIBS)
ARCHIVE = $(call SAY,AR)mkdir -p $(@D) && rm -f $@ && ar rcs $@ $(filter %.o,$^)

$(BUILD)/process/%: EXTRA = $(if $(SAN),-O2,-O3)
# Test pictures are made of this: nobody else runs it, and under a sanitizer it takes 3 to 30 times as long.
$(BUILD)/tests/gen/%: EXTRA = -O3 -fno-math-errno -fno-trapping-math $(if $(SAN),-fno-sanitize=all)
$(BUILD)/config/base/version.o: EXTRA = -DPF_VERSION='"$(VERSION)"'
$(BUILD)/config/base/version.o: $(BUILD)/version
$(BUILD)/service/http/api.o: service/http/openapi.json
$(BUILD)/%.o: %.c $(BUILD)/flags
	$(COMPILE)
$(BUILD)/%.o: %.cpp $(BUILD)/flags
	$(COMPILE_CXX)
$(BUILD)/%.cu.o: %.cu $(BUILD)/nvcc-flags
	$(COMPILE_CUDA)
# Functions of C headers may have the name of a struct.
# Kernels hand no pointers to their stacks on, and a fake stack for each change of fibers is what takes longest.
FIBER_SAN = $(if $(SAN),-O2) $(if $(WATCHED),--param asan-use-after-return=0)
$(BUILD)/fibers/%: EXTRA = -x c++ -DPF_FIBERS -Wno-unknown-pragmas -Wno-shadow $(FIBER_SAN)
$(BUILD)/fibers/%.o: %.cu $(BUILD)/flags
	$(COMPILE_CXX)
# Fibers jump from stack to stack, which is what _FORTIFY_SOURCE is there to forbid. They tell AddressSanitizer of it,
# and are themselves not watched.
$(BUILD)/tests/cuda/%: EXTRA = -DPF_FIBERS -U_FORTIFY_SOURCE $(if $(SAN),-O2 -fno-sanitize=undefined) \
    $(if $(WATCHED),--param asan-instrument-reads=0 --param asan-instrument-writes=0 --param asan-stack=0)
# What the browser is given; the list changes when a file comes or goes.
$(BUILD)/page-list: FORCE
	$(call if_changed,$(PAGE))
$(BUILD)/service/page_files.c: $(PAGE) $(BUILD)/page-list packaging/embed-page.sh
	$(call SAY,GZIP)mkdir -p $(@D) && packaging/embed-page.sh $(PAGE) >$@
$(BUILD)/service/page_files.o: $(BUILD)/service/page_files.c $(BUILD)/flags
	$(COMPILE)
# The processor's kernels may reorder sums and know no NaN traps: what lets their loops be vectors.
ISA_FLAGS := -fno-math-errno -fno-trapping-math -fno-signed-zeros -fassociative-math -ffp-contract=fast
$(BUILD)/%_isa.base.o: %_isa.c $(BUILD)/flags
	$(COMPILE) $(ISA_FLAGS) -DPF_ISA=base
$(BUILD)/%_isa.v3.o: %_isa.c $(BUILD)/flags
	$(COMPILE) $(ISA_FLAGS) -DPF_ISA=v3 -march=x86-64-v3
$(BUILD)/bare/%: EXTRA = -O3 -fno-sanitize=all
$(BUILD)/bare/%_isa.base.o: %_isa.c $(BUILD)/flags
	$(COMPILE) $(ISA_FLAGS) -DPF_ISA=base
$(BUILD)/bare/%_isa.v3.o: %_isa.c $(BUILD)/flags
	$(COMPILE) $(ISA_FLAGS) -DPF_ISA=v3 -march=x86-64-v3

$(BUILD)/libparfocal.a: $(OBJECTS) $(BUILD)/objects
	$(ARCHIVE)
$(BUILD)/tests/libgenerate.a: $(GEN_O) $(BUILD)/objects
	$(ARCHIVE)
$(BUILD)/parfocal: MORE_LIBS = $(if $(CUDA_O),$(CUDA_LIBS))
$(BUILD)/parfocal: $(BUILD)/service/main.o $(BARE_O) $(CUDA_O) $(BUILD)/libparfocal.a
	$(LINK)
$(BUILD)/tests/generate: $(BUILD)/tests/gen/generate.o
$(UNITS): $(BUILD)/tests/test_%: $(BUILD)/tests/unit/test_%.o
# They are about what is decided of frames; rows are watched in the others.
$(BUILD)/tests/test_align $(BUILD)/tests/test_judge: $(BARE_O)
$(BENCHES): $(BUILD)/tests/%: $(BUILD)/tests/bench/%.o
$(ON_FIBERS): $(BUILD)/service/main.o $(BARE_O) $(FIBER_O)
$(BUILD)/tests/nvjpeg/lacking/%: EXTRA = -DLACKING
$(NVJPEG): tests/nvjpeg/nvjpeg.c $(BUILD)/flags
	$(call SAY,CC)mkdir -p $(@D) && $(CC) $(C_FLAGS) $(EXTRA) $(LD_FLAGS) -fPIC -shared -o $@ $< -ljpeg
$(HUNGRY): $(BUILD)/service/main.o $(BUILD)/tests/unit/allocations.o
$(FIBERS): $(BUILD)/tests/%: $(BUILD)/fibers/tests/cuda/%.o $(FIBER_O) $(GPU_C_O)
	$(LINK)
# What times a GPU, on fibers: its clock says nothing here, but that it works is known.
$(CLOCK): $(patsubst tests/bench/%.cu,$(BUILD)/fibers/tests/bench/%.o,$(CLOCK_C)) $(FIBER_O) $(GPU_C_O)
	$(LINK)
$(TORTURE): $(BUILD)/tests/torture/%: $(BUILD)/tests/torture/%.o
$(REPLAYS): $(BUILD)/tests/test_%: $(BUILD)/tests/fuzz/%.o $(BUILD)/tests/fuzz/replay.o $(FUZZ_O)
$(GENERATE) $(UNITS) $(REPLAYS) $(TORTURE) $(ON_FIBERS) $(HUNGRY) $(BENCHES): $(BUILD)/tests/libgenerate.a $(BUILD)/libparfocal.a
	$(LINK)

# What these call for memory, they answer themselves.
WRAPPED := malloc calloc realloc aligned_alloc posix_memalign strdup strndup vasprintf __vasprintf_chk
# What this one asks to fail, fails.
$(BUILD)/tests/test_outbox: MORE_LIBS = -Wl$(comma)--wrap=fsync$(comma)--wrap=rename$(comma)--wrap=renameat2$(comma)--wrap=open64$(comma)--wrap=lstat64
$(filter $(BUILD)/tests/test_allocations_%,$(UNITS)) $(HUNGRY): MORE_LIBS = $(addprefix -Wl$(comma)--wrap=,$(WRAPPED))

$(CAMERA): $(CAMERA_O)
	$(LINK)
$(RECEIVER): MORE_LIBS = -levent_extra -levent_openssl -lssl
$(RECEIVER): $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/receiver/*.c))
	$(LINK)

-include $(shell [ ! -d $(BUILD) ] || find $(BUILD) -name '*.d' -type f -not -path '$(BUILD)/san-*' \
             -not -path '$(BUILD)/deb/*')

# ---- what one does with it ------------------------------------------------------------------
run: $(BUILD)/parfocal $(GENERATE)
	@packaging/demo.sh $(BUILD)

test: tested
	@packaging/need-packages.sh --optional $(DEB_TEST)
	@SAN='$(SAN)' ONLY='$(ONLY)' tests/run $(BUILD)

bench: $(BUILD)/parfocal $(GENERATE) $(BENCHES)
	@packaging/need-packages.sh $(DEB_BENCH)
	@tests/bench/run $(BUILD)

# The long versions of tests/torture, 73 minutes of them; they write tests/torture/TORTURE.md.
torture: programs
	@packaging/need-packages.sh --optional $(DEB_TEST)
	@ONLY='$(ONLY)' tests/torture/run $(BUILD)

# The same sources by clang, with coverage for libFuzzer, into build/fuzz.
SECONDS  ?= 60
FUZZ_SAN := -fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_CC  := $(FUZZ_SAN) -fsanitize=fuzzer-no-link -Wno-unknown-pragmas -Wno-unknown-warning-option
FUZZERS  := $(patsubst tests/fuzz/fuzz_%.c,$(BUILD)/tests/fuzz_%,$(FUZZ_C))
$(FUZZERS): $(BUILD)/tests/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(FUZZ_O) \
        $(BUILD)/tests/libgenerate.a $(BUILD)/libparfocal.a
	$(call SAY,LD)$(CXX) $(LD_FLAGS) -fsanitize=fuzzer -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS)
fuzzers: $(FUZZERS)
fuzz:
	@packaging/need-packages.sh $(DEB_FUZZ)
	+@$(MAKE) --no-print-directory BUILD=build/fuzz CC=clang-14 CXX=clang++-14 CUDA=0 SAN= HARDENED= \
	    CFLAGS='$(FUZZ_CC)' LDFLAGS='$(FUZZ_SAN)' fuzzers
	@ONLY='$(ONLY)' FUZZ_SECONDS='$(SECONDS)' tests/fuzz/run build/fuzz

# Needs a compiler, the CUDA Toolkit and a GPU, and none of the packages: so it has its own rules.
GPU       := $(BUILD)/gpu
GPU_ARCH  ?= native
GPU_LIB   := $(patsubst %.c,$(GPU)/%.o,$(filter-out %_isa.c,$(GPU_C))) $(KERNELS:%.cu=$(GPU)/%.o) \
             $(foreach isa,$(ISAS),$(patsubst %.c,$(GPU)/%.$(isa).o,$(filter %_isa.c,$(GPU_C))))
GPU_TESTS := $(patsubst tests/cuda/%.cu,$(GPU)/%,$(wildcard tests/cuda/test_cuda_*.cu)) $(GPU)/gpu_times
GPU_CC     = $(call SAY,CC)mkdir -p $(@D) && $(CC) -std=c11 -D_GNU_SOURCE -I. -g -O3 -pthread -MMD -MP -c -o $@ $<
$(GPU)/flags: FORCE
	$(call if_changed,$(CC) $(ISA_FLAGS) $(HAVE_CUDA) $(NVCC_FLAGS) $(GPU_ARCH))
$(GPU)/%.o: %.c $(GPU)/flags
	$(GPU_CC)
$(GPU)/%_isa.base.o: %_isa.c $(GPU)/flags
	$(GPU_CC) $(ISA_FLAGS) -DPF_ISA=base
$(GPU)/%_isa.v3.o: %_isa.c $(GPU)/flags
	$(GPU_CC) $(ISA_FLAGS) -DPF_ISA=v3 -march=x86-64-v3
$(GPU)/%.o: CUDA_ARCH = $(GPU_ARCH)
$(GPU)/%.o: %.cu $(GPU)/flags
	$(COMPILE_CUDA)
$(GPU)/test_%: $(GPU)/tests/cuda/test_%.o $(GPU_LIB)
	$(GPU_LINK)
$(GPU)/gpu_times: $(CLOCK_C:%.cu=$(GPU)/%.o) $(GPU_LIB)
	$(GPU_LINK)
GPU_LINK   = $(call SAY,LD)$(CXX) -pthread -o $@ $(filter %.o,$^) $(CUDA_LIBS) -lm
gpu-programs: $(GPU_TESTS)

gpu-check:
	@tests/cuda/gpu-check.sh can '$(HAVE_CUDA)' '$(subst ',,$(strip $(NO_CUDA)))'
	+@$(MAKE) --no-print-directory gpu-programs
	@tests/cuda/gpu-check.sh run $(GPU)

C_FILES = $(shell git ls-files --cached --others --exclude-standard '*.c' '*.h' '*.cpp' '*.cu')
# cppcheck does not know that a negative errno is negative, nor our calling order: these of its
# checks are wrong here more often than right. The compiler's own warnings are errors here.
CPPCHECK := --quiet --std=c11 --enable=warning,portability,performance --inline-suppr \
    --error-exitcode=1 --suppress=missingIncludeSystem \
    $(addprefix --suppress=,nullPointer ctunullpointer uninitvar legacyUninitvar autoVariables invalidPointerCast) \
    -I. -D_GNU_SOURCE -DPF_ISA=base '-Devutil_timercmp(a,b,op)=1'
lint:
	@packaging/need-packages.sh $(DEB_LINT)
	$(if $(V),,@)clang-format --dry-run -Werror $(C_FILES)
	$(if $(V),,@)cppcheck $(CPPCHECK) $(filter-out tests/unit/%,$(filter %.c,$(C_FILES)))
	$(if $(V),,@)for script in $$(git ls-files '*.sh' tests/run .ci/run); do bash -n $$script || exit; done
	+@$(MAKE) --no-print-directory BUILD=build/lint CFLAGS=-Werror programs

format:
	clang-format -i $(C_FILES)

# ---- packages -------------------------------------------------------------------------------
# Where what surrounds the program goes. CROSS programs run through RUN (an emulator) here.
UNITDIR   ?= $(PREFIX)/lib/systemd/system
UDEVDIR   ?= $(PREFIX)/lib/udev/rules.d
SYSUSERS  ?= $(PREFIX)/lib/sysusers.d
# Debian's zsh looks in these two.
ZSHDIR    ?= $(PREFIX)/share/zsh/$(if $(filter /usr,$(PREFIX)),vendor-completions,site-functions)
DATA      := $(DESTDIR)$(PREFIX)/share
# The service's own directories; what is in them is described in the unit.
HOME_DIR  := /var/lib/parfocal
INSTALLED := --source folder:$(HOME_DIR)/inbox --outbox $(HOME_DIR)/outbox --spool $(HOME_DIR)/spool \
             --state $(HOME_DIR)/state
MADE      := $(addprefix $(BUILD)/made/,parfocal.1 parfocal.conf.5 parfocal.bash _parfocal \
             parfocal.conf parfocal.service)

$(BUILD)/made/parfocal.1: SAYS = manual page
$(BUILD)/made/parfocal.conf.5: SAYS = manual conf
$(BUILD)/made/parfocal.bash: SAYS = manual bash
$(BUILD)/made/_parfocal: SAYS = manual zsh
$(BUILD)/made/parfocal.conf: SAYS = config show -c /dev/null $(INSTALLED)
$(filter-out %.service,$(MADE)): $(BUILD)/parfocal
	@mkdir -p $(@D)
	$(RUN) $(BUILD)/parfocal $(SAYS) >$@
$(BUILD)/made/parfocal.service: packaging/parfocal.service FORCE
	@mkdir -p $(@D)
	@sed 's,@BIN@,$(PREFIX)/bin,; s,@SYSCONF@,$(SYSCONF),' $< >$@

install: $(BUILD)/parfocal $(MADE)
	install -D -m 755 $(BUILD)/parfocal $(DESTDIR)$(PREFIX)/bin/parfocal
	install -D -m 644 -t $(DATA)/doc/parfocal README.md LICENSE packaging/*.md
	install -D -m 644 -t $(DATA)/man/man1 $(BUILD)/made/parfocal.1
	install -D -m 644 -t $(DATA)/man/man5 $(BUILD)/made/parfocal.conf.5
	install -D -m 644 $(BUILD)/made/parfocal.bash $(DATA)/bash-completion/completions/parfocal
	install -D -m 644 -t $(DESTDIR)$(ZSHDIR) $(BUILD)/made/_parfocal
	install -D -m 644 -t $(DESTDIR)$(UNITDIR) $(BUILD)/made/parfocal.service packaging/parfocal-gpu.service
	install -D -m 644 -t $(DESTDIR)$(UDEVDIR) packaging/60-parfocal.rules
	install -D -m 644 packaging/parfocal.sysusers $(DESTDIR)$(SYSUSERS)/parfocal.conf
	install -D -m 644 -t $(DATA)/parfocal $(BUILD)/made/parfocal.conf
	@# A configuration that somebody has edited is theirs.
	[ -e $(DESTDIR)$(SYSCONF)/parfocal.conf ] || \
	    install -D -m 644 $(BUILD)/made/parfocal.conf $(DESTDIR)$(SYSCONF)/parfocal.conf

deb:
	@packaging/need-packages.sh $(DEB_DEB) $(DEB_BUILD)
	@packaging/make-deb.sh $(BUILD)/deb $(DEB_BUILD)

cross:
	@packaging/need-packages.sh debootstrap
	@packaging/cross.sh build/cross-arm64 $(DEB_BUILD)

test-package: $(GENERATE)
	@packaging/need-packages.sh $(DEB_DEB) $(DEB_BUILD) debootstrap systemd-container
	@packaging/make-deb.sh $(BUILD)/deb $(DEB_BUILD)
	@packaging/test-package.sh $(BUILD)/deb $(GENERATE)
	@packaging/test-unit.sh $(BUILD)/deb $(GENERATE) || [ $$? -eq 77 ]

clean:
	rm -rf build

help:
	@sed -n '/^#/!q;s/^# \{0,1\}//p' Makefile
