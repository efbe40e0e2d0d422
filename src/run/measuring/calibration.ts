/**
 * Expected calibration error: how far confidence is from accuracy, over 15 bins of equal width. Guo et al., ICML 2017,
 * https://arxiv.org/abs/1706.04599
 */
const BINS = 15;

/** What a model says of one output: how likely it holds its most likely class, and whether that is right. */
export interface Said {
  readonly confidence: number;
  readonly right: boolean;
}

/** Mean over outputs of |share that is right - mean confidence| of their bin; NaN of none. */
export function calibrationError(outputs: Iterable<Said>): number {
  const bins = Array.from({ length: BINS }, () => ({ confidence: 0, right: 0 }));
  let count = 0;
  for (const { confidence, right } of outputs) {
    // Bins are open below and closed above, so that 1 falls into the last.
    const bin = bins[Math.min(BINS - 1, Math.max(0, Math.ceil(confidence * BINS) - 1))]!;
    bin.confidence += confidence;
    bin.right += right ? 1 : 0;
    count++;
  }
  return bins.reduce((sum, bin) => sum + Math.abs(bin.confidence - bin.right), 0) / count;
}
