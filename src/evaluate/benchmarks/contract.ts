/**
 * What a benchmark of unlearning is: which of its own files are which groups, how their rows are asked, what is
 * measured in which pass, and the columns of its table. Files are looked for under the names that their authors gave
 * them, and under the names of the groups.
 */
import type { Columns } from "../../data/columns.ts";
import type { Row } from "../../data/rows.ts";

export interface BenchmarkGroup {
  /** As metrics know it. */
  readonly name: string;
  /** Names of its file in the folder, without the ending; the first that is there is read. */
  readonly files: readonly string[];
  readonly columns?: Columns;
  /** The row as it is asked. Names the turn, so that rows asked in other ways are told apart. */
  readonly asked?: { readonly name: string; turn(row: Row): Row };
  /** Whether the benchmark can do without it: columns that read it are left out. */
  readonly optional?: boolean;
}

/** Groups that are measured together, by metrics that can share a run. */
export interface Pass {
  readonly groups: readonly BenchmarkGroup[];
  readonly metrics: readonly string[];
  /** Most tokens of an answer, and the texts that end it. */
  readonly maxTokens: number;
  readonly stop?: readonly string[];
}

export interface Column {
  readonly heading: string;
  /** Place of its pass. */
  readonly pass: number;
  /** Name of a metric, or of one of its details: "forget-quality D". */
  readonly metric: string;
  /** "all" for metrics that compare groups. */
  readonly group: string;
  /** Name of the number in a log of open-unlearning. */
  readonly logged?: string;
}

/** What a benchmark is asked for. */
export interface Choice {
  /** Which of the forget sets: "10" of forget10; the first that is there when left out. */
  readonly split: string | undefined;
  /** The rows of a file of the folder; undefined where there is none. */
  read(name: string): Promise<readonly Row[] | undefined>;
}

export interface Benchmark {
  readonly title: string;
  readonly about: string;
  readonly cite: string;
  passes(choice: Choice): Promise<readonly Pass[]>;
  readonly columns: readonly Column[];
}
