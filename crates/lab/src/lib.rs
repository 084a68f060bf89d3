//! Real Linux kernels in QEMU as nodes, initiators and targets
#![forbid(unsafe_code)]
