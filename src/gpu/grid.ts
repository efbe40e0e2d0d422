/** How one-dimensional work is shared out over workgroups; the host's side of wgsl/lib/grid.wgsl. */

/** Most workgroups along an axis, on every adapter. */
export const MOST_GROUPS = 65535;

/** Items (vectors of four values, say) that one workgroup takes; `SPAN` of wgsl/lib/grid.wgsl. */
export const SPAN = 1024;

/**
 * The same for reductions; `REDUCE_SPAN` of wgsl/lib/grid.wgsl. Each of a workgroup's 64 lanes leaves a partial result.
 */
export const REDUCE_SPAN = 4096;
export const LANES = 64;

/**
 * A grid of at least `count` workgroups, one at the least, folded over y. Kernels skip what is too much: see `span_of`.
 */
export function foldGroups(count: number): [number, number] {
  const needed = Math.max(1, count);
  const rows = Math.ceil(needed / MOST_GROUPS);
  return [Math.ceil(needed / rows), rows];
}

/** Workgroups over `items`, a span each. */
export const spanGroups = (items: number, span = SPAN): [number, number] => foldGroups(Math.ceil(items / span));
