/** What happens in a run, for its log and for people. */
export interface ClusterEvents {
  /** A message, or who sent it, was refused. */
  refused(what: string, fault: string): void;
  joined(worker: string): void;
  dropped(worker: string, seconds: number): void;
  /** A round is over, and its answers were applied. */
  round(round: number, answers: readonly Uint8Array[]): Promise<void>;
  /** The state after a round was put on the board. */
  saved(round: number, bytes: number): void;
  /** The state after a round was taken from the board, without the rounds between the one before and it. */
  loaded(round: number, before: number, bytes: number): void;
}

/** What a reader of rounds tells. */
export type ReaderEvents = Pick<ClusterEvents, "refused" | "round" | "loaded">;

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
