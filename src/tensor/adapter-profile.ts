/** What ops may know of the device, to choose kernels. */
export interface AdapterProfile {
  /** 0: no subgroups, or of varying size. */
  readonly subgroupSize: number;
  /** A driver that computes on the CPU. */
  readonly software: boolean;
  readonly discrete?: boolean;
  /** Most bytes that a kernel may bind as one tensor. */
  readonly maxBinding?: number;
}
