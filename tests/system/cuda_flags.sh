# What the build asks of nvcc, old and new, and what it says where that compiles nothing. nvcc is a script here.
. "${BASH_SOURCE%/*}/lib.sh"

# fake_nvcc SCRIPT: $T/cuda/bin/nvcc, which says what it was called with in $T/called; $host is its -ccbin
fake_nvcc()
{
    mkdir -p cuda/bin cuda/lib64
    touch cuda/lib64/libcudart_static.a
    printf '#!/bin/bash\nset -- " $* "\necho "$1" >>%q\nhost=${1##* -ccbin }\n[ "$host" = "$1" ] && host= || host=${host%%%% *}\n' \
        "$T/called" >cuda/bin/nvcc
    cat >>cuda/bin/nvcc
    chmod +x cuda/bin/nvcc
    rm -rf called kept
}

flags() # ARCH [CCBIN]
{
    "$ROOT/packaging/cuda-flags.sh" "$T/kept" "$T/cuda/bin/nvcc" g++ "${2:-}" "$1" >out
}

LISTS='case $1 in *--list-gpu-code*) printf "sm_%s\n" 50 100 90 90a; exit ;; *-arch=all*|*-arch=native*) exit 1 ;; esac'

test_an_nvcc_that_does_not_know_all_is_given_a_list()
{
    fake_nvcc <<<"$LISTS"
    flags all
    [ "$(cat out)" = "-gencode arch=compute_50,code=sm_50 -gencode arch=compute_90,code=sm_90 -gencode arch=compute_100,code=sm_100 \
-gencode arch=compute_100,code=compute_100 -Wno-deprecated-gpu-targets -ccbin 'g++'" ] || fail "$(cat out)"
    # It is asked once.
    cp called before
    cp out first
    flags all
    cmp out first || fail "another time: $(cat out)"
    cmp called before || fail "nvcc was tried again: $(cat called)"
    flags sm_87
    grep -q '^-arch=sm_87 ' out || fail "$(cat out)"
}

test_native_is_what_the_gpus_here_are()
{
    fake_nvcc <<<"$LISTS"
    mkdir bin
    printf '#!/bin/sh\nprintf "9.0\\n9.0\\n"\n' >bin/nvidia-smi
    chmod +x bin/nvidia-smi
    PATH=$T/bin:$PATH flags native
    grep -q '^-gencode arch=compute_90,code=sm_90 -gencode arch=compute_90,code=compute_90 ' out || fail "$(cat out)"
    # One that is newer than nvcc runs the PTX of all; one that does not tell, too.
    for cap in 12.0 '[N/A]'; do
        printf '#!/bin/sh\necho "%s"\n' "$cap" >bin/nvidia-smi
        PATH=$T/bin:$PATH flags native
        grep -q 'code=sm_50 .*code=compute_100 ' out || fail "$cap: $(cat out)"
    done
}

REFUSES='if [ "${host#g++}" != "$host" ] && [ "$host" != g++-11 ]; then
    echo "In file included from x:
host_config.h:132:2: error: #error -- unsupported GNU version! gcc versions later than 11 are not supported!" >&2; exit 1
fi'

test_a_compiler_that_nvcc_refuses_is_named()
{
    # A distribution's knows one.
    fake_nvcc <<<"$LISTS; $REFUSES"
    flags all
    ! grep -q 'ccbin\|without' out || fail "$(cat out)"
    # Another, by itself, takes the same that was refused.
    fake_nvcc <<<"$LISTS; host=\${host:-g++}; $REFUSES"
    flags all
    [ "$(wc -l <out)" -eq 1 ] || fail "$(cat out)"
    grep -q '^without: .*nvcc cannot compile a kernel: it refuses g++; NVCC_CCBIN=g++-11 .*gcc versions later than 11' out ||
        fail "$(cat out)"
    flags all g++-11
    grep -q -- "-ccbin 'g++-11'" out || fail "$(cat out)"
}

test_make_goes_without_an_nvcc_that_compiles_nothing()
{
    fake_nvcc <<<"$LISTS; echo 'nvcc fatal: cicc is not found' >&2; exit 1"
    expect_status 0 make --no-print-directory -C "$ROOT" SAN= BUILD="$T/b" NVCC="$T/cuda/bin/nvcc" CUDA=auto help
    [ "$(grep -c '^without CUDA: .*nvcc cannot compile a kernel: nvcc fatal: cicc is not found$' out)" -eq 1 ] || fail "$(cat out)"
    expect_status 2 make --no-print-directory -C "$ROOT" SAN= BUILD="$T/b" NVCC="$T/cuda/bin/nvcc" CUDA=1 help
    grep -q 'CUDA=1, but .*cicc is not found' err || fail "$(cat err)"
    expect_status 0 make --no-print-directory -C "$ROOT" SAN= BUILD="$T/b" NVCC="$T/cuda/bin/nvcc" CUDA=0 help
    ! grep -q 'without' out || fail "$(cat out)"
}
