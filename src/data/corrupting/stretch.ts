/** What a stream of rows is made of, wherever these are from. */
import type { Example } from "../examples.ts";

/** A row of a stream, and the domain that it is from. */
export interface StreamRow {
  readonly example: Example;
  readonly domain: string;
}

/** Rows that come one after the other before the domain changes; of a mixed stream all of it. */
export interface Stretch {
  /** A name for people: "blur 5". */
  readonly name: string;
  /** Which time the sequence comes, from 0. */
  readonly repetition: number;
  readonly rows: readonly StreamRow[];
}
