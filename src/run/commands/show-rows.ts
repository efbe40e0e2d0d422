/** `data show`: rows as a model reads them, with the tokens that the loss counts marked. */
import type { Context, Outcome } from "../../cli/context.ts";
import { writeAll } from "../../cli/stderr.ts";
import { countedTokens } from "../../data/dataset.ts";
import { parseGroups } from "../../data/groups.ts";
import { readRows } from "../../data/read-rows.ts";
import { encodeRow } from "../../data/sequences.ts";
import { visible } from "../../text/visible.ts";
import { bracketed, coloured, partsOf } from "../marked-parts.ts";
import type { SHOW } from "../show-options.ts";
import { textTools } from "../text-tools.ts";

/** Any number of tokens and positions: there is no model that would limit them. */
const SIZES = { layers: 0, width: 0, outputs: Number.MAX_SAFE_INTEGER, maxPositions: Number.MAX_SAFE_INTEGER };

export async function showRows(context: Context<typeof SHOW>): Promise<Outcome> {
  const { options, args } = context;
  const groups = parseGroups(args, options.columns);
  const warn = (message: string) => context.warn(message);
  const { tokenizer, encode } = await textTools(new Map(), "the rows", SIZES, options, warn);
  // The colours would be made visible like any other sequence that steers a terminal; the texts among them are.
  const isColourful = hasColours(context);
  const mark = isColourful ? coloured : bracketed;
  const print = (text: string) => (isColourful ? writeAll(1, Buffer.from(text)) : context.text(text));
  let [rows, tokens, counted] = [0, 0, 0];
  for (const source of groups) {
    let left = options.rows;
    for await (const row of readRows(source)) {
      for (const sequence of encodeRow(row, encode)) {
        const count = countedTokens(sequence);
        const parts = partsOf(sequence, tokenizer);
        const { place, ids } = sequence;
        if (options.json) context.line({ place, tokens: ids.length, counted: count, parts });
        else print(`${visible(place)}: ${ids.length} tokens, ${count} count\n${parts.map(mark).join("")}\n`);
        tokens += ids.length;
        counted += count;
      }
      rows++;
      context.signal.throwIfAborted();
      if (--left === 0) break;
    }
  }
  context.info(`${rows} rows, ${tokens} tokens, ${counted} count`);
  return {};
}

/** Colours are for terminals, unless NO_COLOR is set (https://no-color.org). */
const hasColours = ({ out }: { readonly out: string }): boolean =>
  out === "-" && process.stdout.isTTY && !process.env.NO_COLOR && process.env.TERM !== "dumb";
