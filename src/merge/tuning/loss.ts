/** What a loss is by which coefficients are learnt; losses/ has one file of each. */
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** What a loss is made of, for the rows of one task. */
export interface TaskOutputs {
  /** (N, width of the head's input) */
  readonly hidden: Tensor;
  head(hidden: Tensor): Tensor;
  /** Outputs of the head. */
  readonly width: number;
  /** (N) i32, negative where nothing counts. */
  readonly targets: Tensor;
  /** What the task's own expert makes of the same rows; there where `needsExperts`. */
  readonly expert?: { readonly hidden: Tensor; head(hidden: Tensor): Tensor } | undefined;
}

export interface TuneLoss {
  /** Whether the labels of rows for classifiers count. */
  readonly needsLabels: boolean;
  /** Whether rows are pairs of texts, which the merged model makes vectors of. */
  readonly needsPairs?: boolean;
  /** Whether the experts run beside the merged model. */
  readonly needsExperts: boolean;
  /** Loss of every row, (N). */
  record(rec: Recorder, outputs: TaskOutputs): Tensor;
}
