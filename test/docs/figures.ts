/** Figures that stand beside commands of pages, and where a run of the command shows them. */
export interface Figure {
  readonly page: string;
  readonly what: string;
  /** Its first group is the figure, in the page with all white space as one space. */
  readonly inText: RegExp;
  /** The command that gives it. */
  readonly command: RegExp;
  /** Its first group is the figure, in what the command printed. */
  readonly inOutput: RegExp;
  /** What a printed value of 1 is in the page, 1 when left out. */
  readonly unit?: number;
  /** Largest difference; adapters sum in other orders. */
  readonly margin: number;
  /** Its command takes a minute and runs with INGOT_TEST_LONG=1 alone. */
  readonly long?: boolean;
}

export const FIGURES: readonly Figure[] = [
  {
    page: "docs/train.md",
    what: "held-out loss of the language",
    inText: /a held-out loss of ([\d.]+)\. /,
    command: /^ingot train --init language\.json /,
    inOutput: /step 80: held-out loss ([\d.]+)/,
    margin: 0.01,
  },
  {
    page: "docs/train.md",
    what: "sums that are right",
    long: true,
    inText: /answers (\d+) of 500 exactly/,
    command: /^ingot evaluate adder\/ /,
    inOutput: /exact-match[\s\S]*?\s([01]\.\d+)/,
    unit: 500,
    margin: 5,
  },
];
