/** What happens in a run, for its log and for people. */
export interface ClusterEvents {
  /** A message, or who sent it, was refused. */
  refused(what: string, fault: string): void;
  joined(worker: string): void;
  dropped(worker: string, seconds: number): void;
  /** A round is over, and its answers were applied. */
  round(round: number, answers: readonly Uint8Array[]): Promise<void>;
}

/** What a run has taken. */
export interface ClusterCounts {
  /** Answers that counted, and those that came again or too late. */
  answers: number;
  repeated: number;
  refused: number;
  dropped: number;
  /** Bytes of answers, without what carries them. */
  payload: number;
}
