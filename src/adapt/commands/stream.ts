/** `adapt stream`: a classifier that goes on adapting to the rows that it answers, without their labels. */
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { type TextOutput, textOutput } from "../../cli/output.ts";
import { refuseInputs } from "../../cli/target.ts";
import type { Stretch } from "../../data/corrupting/stretch.ts";
import { groupsOf } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { bind } from "../../method/bind.ts";
import { prepareSave, saveResult } from "../../model/save.ts";
import { checkMethods, openSource, readSource, readStream, SourceModel } from "../../run/test-time/open.ts";
import { type Answered, joined, runStretches, type StretchScore } from "../../run/test-time/stream.ts";
import { humanBytes } from "../../text/format.ts";
import { table } from "../../text/table.ts";
import type { TEST_STREAM } from "../options.ts";

type StreamContext = Context<typeof TEST_STREAM, "test-time">;

const percent = (share: number | undefined): string => (share === undefined ? "–" : `${(100 * share).toFixed(1)} %`);

function reportOf(scores: readonly StretchScore[]): string {
  const all = joined(scores);
  return table(
    [
      ["domain", "rows", "error", "top class"],
      ...scores.map(({ stretch, rows, error, topShare }) => [
        stretch.name,
        `${rows}`,
        percent(error),
        percent(topShare),
      ]),
      ["all", `${all.rows}`, percent(all.error), percent(all.topShare)],
    ],
    { align: "lrrr" },
  );
}

/** A line of --predictions. */
const lineOf = ({ row, stretch, answer, scores }: Answered): string =>
  `${JSON.stringify({
    domain: stretch.name,
    row: row.example.place,
    answer,
    ...(row.example.label >= 0 ? { label: row.example.label } : {}),
    scores: Array.from(scores, (score) => Number(score.toPrecision(7))),
  })}\n`;

export async function adaptStream(context: StreamContext): Promise<Outcome> {
  const { options, out, args, seed, signal } = context;
  const [ref = "-", ...more] = args;
  if (more.length > 0) throw new UserError(`one model at a time, found ${args.join(" ")}`, "name one");
  const groups = groupsOf(options.data, "--data", options.columns);
  const files = [...groups.map(({ path }) => path), ...(options.source ?? [])];
  refuseInputs(out, [ref, ...files]);
  if (options.predictions !== undefined) refuseInputs(options.predictions, [ref, ...files], "--predictions");
  const method = bind(context.method!, context.settings);
  const asking = {
    seed,
    signal,
    info: (text: string) => context.info(text),
    warn: (text: string) => context.warn(text),
  };
  const opened = await openSource(ref, options, asking);
  context.onExit(() => opened.checkpoint.close());
  checkMethods([method], opened, options);
  context.progress.start({ unit: "rows" });
  const examples = await readStream(groups, opened);
  const source = await readSource(options, opened, seed);
  context.progress.done();
  const stretches = groups.map(({ name }, group): Stretch => {
    const rows = examples.filter((example) => example.group === group).map((example) => ({ example, domain: name }));
    return { name, repetition: 0, rows };
  });
  const gpu = await openGpu({ device: context.device, dry: context.dryRun });
  context.onExit(() => gpu.close());
  const model = await SourceModel.load(gpu, { opened, options, asking, source });
  if (context.dryRun) {
    const told = { rows: examples.length, domains: groups.length, source_rows: source?.rows.length ?? 0, out };
    context.json(told);
    if (!options.json) context.print(`${told.rows} rows of ${told.domains} domains, ${told.source_rows} source rows`);
    return {};
  }
  const step = { script: "adapt stream", version: context.version, options: context.chosen, seed };
  const lineage = lineageOf(step, [{ checkpoint: opened.checkpoint, role: "model" }], (text) => context.warn(text));
  const saving = { files: opened.files, lineage };
  const writer = await prepareSave(model.model, out, saving);
  const lines = answersFile(context);
  context.log.start({ device: gpu.adapter.device });
  const learner = await model.begin(method);
  context.progress.start({ total: examples.length, unit: "rows" });
  const scores = await runStretches(learner, stretches, {
    ...{ batchSize: options.batch_size, episodic: options.episodic, signal },
    answered(answers) {
      for (const answered of answers) lines?.write(lineOf(answered));
      context.progress.advance(answers.length);
    },
  });
  context.progress.done();
  const told = learner.tells?.() ?? {};
  await learner.finish?.();
  const bytes = await saveResult(model.model, writer ?? out, saving, context.log.run);
  learner.free?.();
  model.free();
  if (!options.json) context.print(reportOf(scores));
  const all = joined(scores);
  const numbers = ({ rows, labelled, error, topShare }: typeof all) => ({
    ...{ rows, labelled, error: error ?? null, top_share: topShare },
  });
  const domains = scores.map((score) => ({ domain: score.stretch.name, ...numbers(score) }));
  context.json({ method: method.method.name, ...numbers(all), domains, ...told, out, bytes });
  return {
    output: `${out === "-" ? "stdout" : out} (${humanBytes(bytes)})`,
    ...(all.error === undefined ? {} : { told: `error ${percent(all.error)}` }),
  };
}

/** The file of --predictions, begun. */
function answersFile(context: StreamContext): TextOutput | undefined {
  const { predictions } = context.options;
  if (predictions === undefined) return undefined;
  const target = textOutput(predictions, "--predictions");
  context.onExit((ok) => (ok ? target.commit() : target.discard()));
  target.write("");
  return target;
}
