/** A row of several choices: `count` sequences from the `first` on, and the place of the right one among them. */
export interface ChoiceQuestion {
  readonly group: number;
  readonly first: number;
  readonly count: number;
  readonly answer: number;
  /** Bytes of each choice in UTF-8. */
  readonly bytes: readonly number[];
  /** Whether all choices fit into what the model reads. */
  readonly isWhole: boolean;
}
