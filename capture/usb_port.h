/* Where on the bus a USB device is plugged in.
 *
 * Capture process, any thread. libgphoto2's port "usb:001,004" has the device's number, which is another
 * one each time it is plugged in; sysfs knows the path of hubs and sockets, which stays.
 * Source: Linux, Documentation/ABI/stable/sysfs-bus-usb.
 */
#ifndef PF_USB_PORT_H
#define PF_USB_PORT_H

#include <stdbool.h>
#include <stddef.h>

#define PF_USB_DEVICES "/sys/bus/usb/devices"

/* "usb:001,004" -> "usb-1-2.3", as `devices` (PF_USB_DEVICES) has it. False: it is none of these. */
bool pf_usb_port(const char *devices, const char *port, char *ret, size_t size);

#endif
