# Shell functions for jobs, sourced before the job runs. NODE is this node's number, LAB_net and LAB_net2 the first
# three bytes of the two networks' addresses. A job ends the machine when it ends.
say() { echo "[$(date -u +%H:%M:%S.%N | cut -c1-12)] node$NODE: $*"; }
# wait_for FILE [SECONDS]: until FILE exists (jobs and tests meet through files on the share /h)
wait_for() {
  local n=$(( ${2:-120} * 5 ))
  while [ ! -e "$1" ]; do
    sleep 0.2; n=$((n-1))
    [ $n -gt 0 ] || { say "no $1 in time"; return 1; }
  done
}

# --- OCFS2 and O2CB -------------------------------------------------------------------------------------------------
# cluster_up [NODES]: the o2cb cluster "prd" of NODES nodes (default 4) at port 7777; this node is $NODE.
# HB_DEAD (heartbeat dead threshold), O2NET_IDLE_MS and O2NET_KEEPALIVE_MS may be set before it, the same everywhere.
cluster_up() {
  local nodes=${1:-4} i c=/sys/kernel/config/cluster/prd
  modprobe ocfs2; modprobe ocfs2_stack_o2cb
  mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
  mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug
  echo o2cb > /sys/fs/ocfs2/cluster_stack
  mkdir -p /etc/ocfs2 /etc/sysconfig /etc/default
  {
    printf 'cluster:\n\theartbeat_mode = local\n\tnode_count = %d\n\tname = prd\n' $nodes
    for i in $(seq 0 $((nodes-1))); do
      printf '\nnode:\n\tnumber = %d\n\tcluster = prd\n\tip_port = 7777\n\tip_address = %s.1%d\n\tname = node%d\n' \
        $i $LAB_net $i $i
    done
  } > /etc/ocfs2/cluster.conf
  o2cb register-cluster prd || return 1
  [ -z "$HB_DEAD" ] || echo $HB_DEAD > $c/heartbeat/dead_threshold
  [ -z "$O2NET_IDLE_MS" ] || echo $O2NET_IDLE_MS > $c/idle_timeout_ms
  [ -z "$O2NET_KEEPALIVE_MS" ] || echo $O2NET_KEEPALIVE_MS > $c/keepalive_delay_ms
}
# ocfs2_local: enough for volumes made with `mkfs.ocfs2 -M local`
ocfs2_local() { modprobe ocfs2; mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug; }
# ocfs2_mount DEV DIR [OPTIONS]
ocfs2_mount() { mkdir -p "$2"; mount.ocfs2 "$1" "$2" ${3:+-o $3}; }
# ocfs2_none: takes ocfs2 out of this kernel's reach
ocfs2_none() {
  rm -rf /lib/modules/*/kernel/fs/ocfs2; depmod 2>/dev/null
  ! modprobe ocfs2 2>/dev/null && ! grep -qw ocfs2 /proc/filesystems
}

# --- iSCSI initiator and multipath ----------------------------------------------------------------------------------
udev_up() {
  [ ! -e /run/udev/control ] || return 0
  mkdir -p /run/udev; /lib/systemd-udevd --daemon; udevadm trigger; udevadm settle
}
# iscsi_up [INITIATOR-NAME]
iscsi_up() {
  local m
  for m in sd_mod sg iscsi_tcp; do modprobe $m; done; udev_up
  mkdir -p /run/lock/iscsi /etc/iscsi
  echo "InitiatorName=${1:-iqn.2026-01.test.oxsan:node$NODE}" > /etc/iscsi/initiatorname.iscsi
  [ -e /etc/iscsi/iscsid.conf ] || : > /etc/iscsi/iscsid.conf
  sed -i '/^iscsid.startup/d; /^iscsid.safe_logout/d' /etc/iscsi/iscsid.conf
  iscsid
}
# mpath_up: reads /etc/multipath.conf if the job wrote one
mpath_up() {
  local m
  for m in dm_multipath dm_round_robin dm_service_time dm_queue_length scsi_dh_alua; do modprobe $m; done; udev_up
  [ -e /etc/multipath.conf ] ||
    printf 'defaults {\n user_friendly_names yes\n find_multipaths no\n polling_interval 2\n}\n' > /etc/multipath.conf
  mkdir -p /etc/multipath; multipathd; multipath -v1
}

# --- LIO target through configfs ------------------------------------------------------------------------------------
LIO=/sys/kernel/config/target
lio_up() {
  local m
  mkdir -p /etc/target/pr /etc/target/alua
  for m in crc32c_generic target_core_mod iscsi_target_mod; do modprobe $m; done
  mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
  mkdir -p $LIO/iscsi
}
# lio_store NAME block /dev/vdb | lio_store NAME file PATH | lio_store NAME ram MEGABYTES
lio_store() {
  local d
  case $2 in
    block) modprobe target_core_iblock; d=$LIO/core/iblock_0/$1; mkdir -p $d; echo "udev_path=$3" > $d/control;;
    file)
      modprobe target_core_file; d=$LIO/core/fileio_0/$1; mkdir -p $d
      echo "fd_dev_name=$3,fd_dev_size=$(stat -c %s $3)" > $d/control;;
    ram) d=$LIO/core/rd_mcp_0/$1; mkdir -p $d; echo "rd_pages=$(($3*256))" > $d/control;;
  esac
  echo "$1" > $d/wwn/vpd_unit_serial; echo 1 > $d/enable
}
# lio_target IQN PORTAL...: a target in demo mode (any initiator, writable); portals as IP:PORT
lio_target() {
  local t=$LIO/iscsi/$1/tpgt_1 p; shift
  mkdir -p $t
  for p; do mkdir -p $t/np/$p; done
  echo 0 > $t/attrib/authentication; echo 0 > $t/attrib/demo_mode_write_protect
  echo 1 > $t/attrib/generate_node_acls; echo 1 > $t/attrib/cache_dynamic_acls
  echo 1 > $t/enable
}
# lio_lun IQN LUN NAME
lio_lun() { local l=$LIO/iscsi/$1/tpgt_1/lun/lun_$2; mkdir -p $l; ln -s $LIO/core/*/$3 $l/$3; }
# lio_chap IQN USER SECRET [MUTUAL-USER MUTUAL-SECRET]: demands CHAP of everyone
lio_chap() {
  local t=$LIO/iscsi/$1/tpgt_1
  echo 1 > $t/attrib/authentication
  echo -n "$2" > $t/auth/userid; echo -n "$3" > $t/auth/password
  [ -z "$4" ] || { echo -n "$4" > $t/auth/userid_mutual; echo -n "$5" > $t/auth/password_mutual; }
}
# lio_digests IQN: offers nothing but CRC32C for header and data
lio_digests() {
  local t=$LIO/iscsi/$1/tpgt_1
  echo CRC32C > $t/param/HeaderDigest; echo CRC32C > $t/param/DataDigest
}
