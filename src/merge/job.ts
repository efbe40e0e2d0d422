/** Placeholder of the interface; see the next commit. */
export interface MergeJob<V> {
  /** Values of this tensor: method-wide ones, and per-model ones as arrays in the order of the models. */
  readonly values: V;
}
