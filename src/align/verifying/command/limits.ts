/** What bounds a command that verifies answers. */

export interface CommandLimits {
  /** Seconds that it may take for a batch. */
  readonly seconds: number;
  /** Answers of a batch. */
  readonly batch: number;
  /** Whether one process serves all batches, or each has its own. */
  readonly keep: boolean;
}

export const USUAL_LIMITS: CommandLimits = { seconds: 60, batch: 256, keep: false };
