# NVIDIA's program for devices, and what its driver says of cards: sourced after lib.sh.

# nvidia_modprobe PROGRAM DIRECTORY: makes nothing but what it is told: 255 is nvidiactl, and with -u it is nvidia-uvm's.
nvidia_modprobe()
{
    cat >"$1" <<S
#!/bin/bash
uvm=
while getopts uc: option; do
    case \$option\$OPTARG\$uvm in
    u) uvm=yes; touch $2/nvidia-uvm ;;
    c255) touch $2/nvidiactl ;;
    c?) touch $2/nvidia\$OPTARG ;;
    esac
done
S
    chmod +x "$1"
}

# two_cards DIRECTORY
two_cards()
{
    mkdir -p "$1"/0000:0{1,2}:00.0
    printf 'Model: \t\t An NVIDIA card\nDevice Minor: \t 0\n' >"$1/0000:01:00.0/information"
    printf 'Device Minor: \t 1\nGPU Excluded:\t No\n' >"$1/0000:02:00.0/information"
}
