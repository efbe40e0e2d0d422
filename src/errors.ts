/**
 * A mistake that the user can correct: printed as one line, with a hint below it, and no stack.
 *
 * `exitCode` 2 means wrong use or bad input, 1 that the work failed (disk full, device lost).
 */
export class UserError extends Error {
  override readonly name = "UserError";
  readonly hint: string | undefined;
  readonly exitCode: number;

  constructor(message: string, hint?: string, exitCode = 2) {
    super(message);
    this.hint = hint;
    this.exitCode = exitCode;
  }
}

/** Hint for a model whose equations are not all here. */
export const CANNOT_RUN =
  "such a model cannot be run or trained here; merge and inspect, which go by tensor names, can use it";
