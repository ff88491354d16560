"""USB cameras that come and go, for what udev tells of them: umockdev's test bed around a command.

    umockdev-wrapper python3 hotplug.py COMMAND...     standard input: plug N, unplug N; end of it ends all

No camera can be talked to: there is nothing behind the devices. A camera is told by udev's database
(ID_GPHOTO2), as libgphoto2's rules do it, and by its descriptors (a PTP interface).
"""
import ctypes
import signal
import subprocess
import sys

umockdev = ctypes.CDLL("libumockdev.so.0")
umockdev.umockdev_testbed_new.restype = ctypes.c_void_p
bed = ctypes.c_void_p(umockdev.umockdev_testbed_new())

# USB 2.0, tables 9-8, 9-10, 9-12 and 9-13: Canon EOS R5, one configuration, interface 6/1/1 with three
# endpoints.
DESCRIPTORS = (
    "12010002000000400" "4a9f432" "0100010203" "01"
    "0902270001010" "0c001" "0904000003060101" "00"
    "0705810200020" "0" "0705020200020" "0" "070583030800" "09"
).replace(" ", "")


def path(number):
    return "/sys/devices/pci0000:00/0000:00:14.0/usb1/1-%d" % number


def plug(number):
    device = """P: %s
N: bus/usb/001/%03d
E: BUSNUM=001
E: DEVNUM=%03d
E: DEVNAME=/dev/bus/usb/001/%03d
E: DEVTYPE=usb_device
E: ID_GPHOTO2=1
E: ID_MODEL=Camera_%d
E: SUBSYSTEM=usb
A: busnum=1
A: devnum=%d
A: idVendor=04a9
A: idProduct=32f4
A: bConfigurationValue=1
A: speed=480
H: descriptors=%s
""" % (path(number)[4:], number, number, number, number, number, DESCRIPTORS)
    error = ctypes.c_void_p()
    if not umockdev.umockdev_testbed_add_from_string(bed, device.encode(), ctypes.byref(error)):
        sys.exit("the device cannot be made")
    umockdev.umockdev_testbed_uevent(bed, path(number).encode(), b"add")


def unplug(number):
    umockdev.umockdev_testbed_uevent(bed, path(number).encode(), b"remove")
    umockdev.umockdev_testbed_remove_device(bed, path(number).encode())


child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
for line in sys.stdin:
    word, number = line.split()
    {"plug": plug, "unplug": unplug}[word](int(number))
child.send_signal(signal.SIGTERM)
sys.exit(child.wait() if child.wait() >= 0 else 0)
