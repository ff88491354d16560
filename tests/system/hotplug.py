"""USB cameras that come and go: umockdev's test bed around a command.

    umockdev-wrapper python3 hotplug.py COMMAND...

Standard input: `plug N`, `unplug N`; `hold N PROGRAM [WORD...]`: the program has the camera at N open, as its standard
input. The end of the input ends all.

No camera can be talked to: whoever claims one is told that another program has it. A camera is told by udev's database
(ID_GPHOTO2), as libgphoto2's rules do it, and by its descriptors: a Canon EOS R5's.
"""
import ctypes
import errno
import signal
import subprocess
import sys

umockdev = ctypes.CDLL("libumockdev.so.0")
gobject = ctypes.CDLL("libgobject-2.0.so.0")
pointer = ctypes.c_void_p
umockdev.umockdev_testbed_new.restype = pointer
umockdev.umockdev_ioctl_base_new.restype = pointer
umockdev.umockdev_ioctl_client_get_request.restype = ctypes.c_ulong
umockdev.umockdev_ioctl_client_get_request.argtypes = [pointer]
umockdev.umockdev_ioctl_client_complete.argtypes = [pointer, ctypes.c_long, ctypes.c_int]
umockdev.umockdev_testbed_attach_ioctl.argtypes = [pointer, ctypes.c_char_p, pointer, pointer]
gobject.g_signal_connect_data.argtypes = [pointer, ctypes.c_char_p, pointer, pointer, pointer, ctypes.c_int]

# USB 2.0, tables 9-8, 9-10, 9-12 and 9-13: the device, one configuration, an interface of class 6/1/1
# with three endpoints.
DESCRIPTORS = (
    "1201000200000040" "a904f432" "0001" "01020301"
    "0902270001010" "0c001"
    "0904000003060101" "00" "07058102000200" "07050202000200" "07058303080009"
)

# linux/usbdevice_fs.h; all others do nothing
CLAIM_INTERFACE = 0x8004550F
ANSWERS = {
    CLAIM_INTERFACE: errno.EBUSY,
    0x8004551A: errno.ENOTTY,  # capabilities
    0x41045508: errno.ENODATA,  # the kernel's driver
    0xC0105512: errno.ENODATA,  # its disconnection
    0x4008550D: errno.EAGAIN,  # a transfer that is done
}

bed = pointer(umockdev.umockdev_testbed_new())
bases, holders = {}, []


@ctypes.CFUNCTYPE(ctypes.c_int, pointer, pointer, pointer)
def on_ioctl(base, client, data):
    request = umockdev.umockdev_ioctl_client_get_request(client)
    code = ANSWERS.get(request, 0)
    umockdev.umockdev_ioctl_client_complete(client, -1 if code else 0, code)
    return 1


def name(number):
    return "/dev/bus/usb/001/%03d" % number


def path(number):
    return "/sys/devices/pci0000:00/0000:00:14.0/usb1/1-%d" % number


def plug(number):
    device = """P: %s
N: bus/usb/001/%03d
E: BUSNUM=001
E: DEVNUM=%03d
E: DEVNAME=%s
E: DEVTYPE=usb_device
E: ID_GPHOTO2=1
E: ID_MODEL=Camera_%d
E: MAJOR=189
E: MINOR=%d
E: SUBSYSTEM=usb
A: busnum=1
A: devnum=%d
A: idVendor=04a9
A: idProduct=32f4
A: bConfigurationValue=1
A: speed=480
H: descriptors=%s
""" % (path(number)[4:], number, number, name(number), number, number - 1, number, DESCRIPTORS)
    error = pointer()
    if not umockdev.umockdev_testbed_add_from_string(bed, device.encode(), ctypes.byref(error)):
        sys.exit("the device cannot be made")
    bases[number] = pointer(umockdev.umockdev_ioctl_base_new())
    gobject.g_signal_connect_data(
        bases[number], b"handle-ioctl", ctypes.cast(on_ioctl, pointer), None, None, 0
    )
    umockdev.umockdev_testbed_attach_ioctl(bed, name(number).encode(), bases[number], ctypes.byref(error))
    umockdev.umockdev_testbed_uevent(bed, path(number).encode(), b"add")


def unplug(number):
    umockdev.umockdev_testbed_uevent(bed, path(number).encode(), b"remove")
    umockdev.umockdev_testbed_remove_device(bed, path(number).encode())


def hold(number, *program):
    with open(name(number)) as device:
        holders.append(subprocess.Popen(program, stdin=device))


child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
for line in sys.stdin:
    word, number, *more = line.split()
    {"plug": plug, "unplug": unplug, "hold": hold}[word](int(number), *more)
child.send_signal(signal.SIGTERM)
status = child.wait()
for holder in holders:
    holder.kill()
sys.exit(max(status, 0))
