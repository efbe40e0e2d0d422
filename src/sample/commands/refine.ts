/** `sample refine`: texts that another model wrote, gone over by a better one. */
import { filesOf } from "../../checkpoint/folder/files-of.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { readJsonFile } from "../../data/files/jsonl.ts";
import { textAt } from "../../data/row-fields.ts";
import { encodePrompt } from "../../data/special-tokens.ts";
import { NAME_TOKENIZER, type Tokenizer } from "../../data/tokenizer.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { isObject } from "../../json.ts";
import { Model } from "../../model/model.ts";
import { openModel } from "../../run/open-model.ts";
import { scoreSequences } from "../../run/scoring/score-rows.ts";
import { Scorer } from "../../run/scoring/scorer.ts";
import type { REFINE } from "../refine-options.ts";
import { type Draft, refined } from "../refining.ts";

const ROWS = "lines of prompt and text, as sample --json writes them";

interface Written {
  readonly prompt: string;
  readonly text: string;
  readonly draft: Draft;
}

/** Runs the sub-command. */
export async function refine(context: Context<typeof REFINE>): Promise<Outcome> {
  const { options, args, signal, progress } = context;
  const [ref = "-", file = "-"] = args;
  if (ref === "-" && file === "-")
    throw new UserError("stdin cannot be the model and the texts", "give a file for one");
  const warn = (text: string) => context.warn(text);
  const opened = await openModel(ref, { max_length: undefined }, warn);
  context.onExit(() => opened.checkpoint.close());
  const { tools, sizes } = opened;
  if (!tools) throw new UserError(`${ref} is no language model`, "sample refine goes over texts");
  const { tokenizer } = tools;
  if (!tokenizer) throw new UserError(`${ref} has no tokenizer.json`, NAME_TOKENIZER);
  const result = textResult(context, [...filesOf(opened.ref), file]);
  const written = await readWritten(file, tokenizer, sizes.maxPositions);
  const about = { texts: written.length, tokens: written.reduce((sum, { draft }) => sum + draft.ids.length, 0) };
  if (context.dryRun) {
    context.json(about);
    context.print(`${about.texts} texts of ${about.tokens} tokens, at most ${options.rounds} rounds`);
    return {};
  }
  const gpu = await openGpu({ device: context.device });
  const model = await Model.load(gpu, opened.checkpoint, { freeze: () => true, warn });
  const scorer = new Scorer(model);
  progress.start({ unit: "texts" });
  const found = await refined(
    written.map(({ draft }) => draft),
    (sequences) =>
      scoreSequences(model, sequences, tokenizer.pad ?? 0, {
        ...{ ref, rows: options.batch_size, signal, scorer },
        done: (rows) => progress.advance(rows),
      }),
    options,
  );
  progress.done();
  await scorer.free();
  model.free();
  const lines = written.map(({ prompt, text }, i) => {
    const { ids, before, after, rounds } = found[i]!;
    const own = rounds === 0 ? text : tokenizer.decode(ids, { skipSpecial: true });
    const losses = Number.isNaN(before) ? {} : { loss: after, draft_loss: before };
    return JSON.stringify({ prompt, text: own, draft: text, ids, ...losses, rounds });
  });
  const better = found.filter(({ rounds }) => rounds > 0).length;
  context.info(`${better} of ${found.length} texts became likelier`);
  return result(lines.join("\n"), { ...about, better });
}

/** Texts with their tokens. Throws UserError naming the line that has none, or is longer than the model reads. */
async function readWritten(file: string, tokenizer: Tokenizer, maxPositions: number): Promise<Written[]> {
  const written: Written[] = [];
  for await (const { value, place } of readJsonFile(file, { hint: ROWS })) {
    if (!isObject(value)) throw new UserError(`${place}: expected an object`, ROWS);
    const [prompt, text] = [textAt(value, "prompt", place, ROWS), textAt(value, "text", place, ROWS)];
    const draft = {
      prompt: [...encodePrompt(tokenizer, prompt)],
      ids: [...tokenizer.encode(text, { special: false })],
    };
    if (draft.prompt.length === 0)
      throw new UserError(`${place}: the prompt has no tokens`, "the first token of a text has no likelihood");
    const length = draft.prompt.length + draft.ids.length;
    if (maxPositions > 0 && length > maxPositions)
      throw new UserError(
        `${place}: prompt and text have ${length} tokens, the model reads ${maxPositions}`,
        "shorten it",
      );
    written.push({ prompt, text, draft });
  }
  if (written.length === 0) throw new UserError(`${file} has no texts`, ROWS);
  return written;
}
