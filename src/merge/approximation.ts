/**
 * What an approximation is: the row of a token that a model does not know, made from the rows of those it knows.
 * `merge transplant --approximate omp` is approximations/omp.ts.
 */
import type { Gpu } from "../gpu/gpu.ts";
import type { Options, Values } from "../method/options.ts";
import type { MethodInfo } from "../method/registry.ts";
import type { NewRow } from "./vocabulary/mixed-table.ts";
import type { RowTable } from "./vocabulary/row-table.ts";

/** A token of the donor that the model lacks. */
export interface WantedToken {
  /** Its id in the donor, the row of its table. */
  readonly id: number;
  readonly token: string;
}

/** Rows of the tokens that both vocabularies have, by rising id of the donor. */
export interface SharedRows {
  readonly donor: Int32Array;
  readonly own: Int32Array;
}

/** One table of the model, and what is known of its new rows. */
export interface TableQuestion {
  /** The model's table. */
  readonly own: RowTable;
  /** The donor's of the same use; undefined where it has none. */
  readonly donor: RowTable | undefined;
  readonly shared: SharedRows;
  readonly wanted: readonly WantedToken[];
  /** Whether rows are read by the model, or compared with what it says. */
  readonly use: "embedding" | "head";
  /** The ids that the model's tokenizer gives the text of a token; none where it cannot spell it. */
  pieces(token: WantedToken): readonly number[];
  gpu(): Promise<Gpu>;
  /** Selects the random numbers of this table. */
  readonly key: readonly (string | number)[];
  /** So many more rows are done. */
  advance(rows: number): void;
  readonly signal: AbortSignal;
  warn(message: string): void;
}

export interface Approximation<O extends Options = Options> extends MethodInfo<O> {
  /** "donor": reads the donor's rows. "pieces": reads the model's tokenizer. */
  readonly needs: readonly ("donor" | "pieces")[];
  /** Gives the row of each wanted token by its place; the same whenever it is asked for. Throws UserError. */
  rows(question: TableQuestion, values: Values<O>): Promise<(place: number) => NewRow>;
}

/** Declares an approximation; infers the types of its options. */
export const approximation = <const O extends Options>(method: Approximation<O>): Approximation<O> => method;

declare module "../method/registry.ts" {
  interface Contracts {
    approximation: Approximation;
  }
}
