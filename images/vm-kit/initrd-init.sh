#!/bin/busybox sh
# First process of a machine whose disk needs drivers: load them, hand over to the program named on the kernel's line.
for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk; do
  /bin/busybox insmod /modules/$module.ko
done
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t ext4 -o ro /dev/vda /root
/bin/busybox mount -o move /dev /root/dev
exec /bin/busybox switch_root /root "$@"
