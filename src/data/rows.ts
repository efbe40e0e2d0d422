/**
 * What a row of a data set is once it has been read. `parse-row.ts` reads rows, `row-formats.ts` lists how people write
 * them.
 *
 * Keys that a format does not use are kept in `extra` for whoever knows them (paraphrases, wrong answers, the name of a
 * person).
 */

import type { Json, JsonObject } from "../json.ts";

/** One turn of a conversation. */
export interface Message {
  readonly role: string;
  /** What is said, as text: of a list of parts the texts, nothing where it is null. */
  readonly content: string;
  /** Other keys, for the chat template: tool_calls, reasoning_content, name; `content` where it is not a text. */
  readonly fields?: JsonObject;
}

/** The label of a token, or of a row, that the loss leaves out. */
export const IGNORED = -100;

interface Common {
  /** Keys of the row that its form does not use. */
  readonly extra: Readonly<Record<string, Json>>;
}

/** What is said: one text, or the turns of a conversation. */
export type Said = string | readonly Message[];

/** What a row holds, by form. */
export type Content =
  | { readonly form: "text"; readonly text: string }
  | { readonly form: "prompt"; readonly prompt: string }
  | { readonly form: "completion"; readonly prompt: string; readonly completion: string }
  /** Of what the assistant says, only messages from `countsFrom` on count; all when left out. */
  | { readonly form: "messages"; readonly messages: readonly Message[]; readonly countsFrom?: number }
  | { readonly form: "preference"; readonly prompt: Said; readonly chosen: Said; readonly rejected: Said }
  /** `types`: which of two texts each token is of, for classifiers. */
  | {
      readonly form: "tokens";
      readonly inputIds: Int32Array;
      readonly labels?: Int32Array;
      readonly types?: Int32Array;
    }
  /** Two texts that belong together, with texts that do not; `score`: how alike the two are. */
  | {
      readonly form: "pair";
      readonly first: string;
      readonly second: string;
      readonly negatives: readonly string[];
      readonly score?: number;
    }
  | {
      readonly form: "example";
      readonly x: Float32Array;
      readonly shape: readonly number[];
      readonly label: number;
      /** Numbers to predict. */
      readonly y?: Float32Array;
    };

export type Row = Common & Content;

/** A row and where it was read. */
export interface LocatedRow {
  readonly row: Row;
  /** File and line, as messages name them: "rows.jsonl:12". */
  readonly place: string;
}
