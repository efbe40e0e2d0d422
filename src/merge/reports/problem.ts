/** What a check finds. */
export interface CheckProblem {
  /**
   * error: the merge will fail or make no sense. warning: it will run, but not as one may expect. note: good to know.
   */
  readonly level: "error" | "warning" | "note";
  readonly message: string;
  readonly hint?: string;
}
