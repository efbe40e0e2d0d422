/** `evaluate stream`: ways of adapting at test time, compared on streams of corrupted rows. */
import type { Context, Outcome } from "../../cli/context.ts";
import { checkApply, fits } from "../../data/corrupting/apply.ts";
import type { Corruption } from "../../data/corrupting/contract.ts";
import { STREAMS, type StreamKind, StreamMaker } from "../../data/corrupting/streams.ts";
import { exampleMaker } from "../../data/examples.ts";
import { groupsOf } from "../../data/groups.ts";
import { readRows } from "../../data/read-rows.ts";
import type { LocatedRow } from "../../data/rows.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { nearest } from "../../method/nearest.ts";
import { loadMethod, methodFiles } from "../../method/registry.ts";
import { checkMethods, type OpenedSource, openSource, readSource, SourceModel } from "../../run/test-time/open.ts";
import { measureRows, runStretches } from "../../run/test-time/stream.ts";
import type { TEST_STREAM } from "../options.ts";
import { type StreamResult, streamResult, streamTable } from "../stream-results.ts";

type StreamContext = Context<typeof TEST_STREAM>;

/** The streams that are asked for. Throws UserError for an unknown one. */
function streamsOf(asked: string): StreamKind[] {
  return asked.split(",").map((name) => {
    const kind = STREAMS.find((known) => known === name.trim());
    if (kind) return kind;
    const near = nearest(name, STREAMS);
    throw new UserError(
      `--stream ${name}: there is no such stream`,
      near === undefined ? `the streams are ${STREAMS.join(", ")}` : `did you mean ${near}?`,
    );
  });
}

/** Numbers of a row, or that it is text. Throws UserError for a row of another kind. */
function kindOf({ row, place }: LocatedRow): number | "text" {
  if (row.form === "text") return "text";
  if (row.form === "example") return row.x.length;
  throw new UserError(`${place}: expected an example or a text to corrupt, found a row of ${row.form}`);
}

/** The corruptions that are asked for, or all that go with the rows. Throws UserError where none does. */
async function corruptionsOf({ options, picks }: StreamContext, first: LocatedRow): Promise<readonly Corruption[]> {
  const kind = kindOf(first);
  const asked = picks.corruption.map(({ method }) => method);
  const odd = asked.find((method) => !fits(method, kind, options.shape));
  if (odd)
    throw new UserError(
      `--corruption ${odd.name} does not go with ${kind === "text" ? "texts" : `${kind} numbers`}`,
      odd.image ? "say what image the numbers are: --shape C,H,W" : "bun run data corrupt --list tells what each is of",
    );
  if (asked.length > 0) return asked;
  const all: Corruption[] = [];
  for (const name of methodFiles("corruption").keys()) all.push(await loadMethod("corruption", name));
  return all.filter((method) => fits(method, kind, options.shape));
}

/** The clean rows and the streams of them. */
async function openStreams(context: StreamContext, { examples }: OpenedSource) {
  const { options, seed } = context;
  const rows: LocatedRow[] = [];
  for (const group of groupsOf(options.data, "--data", options.columns))
    for await (const row of readRows(group)) rows.push(row);
  const make = exampleMaker(examples);
  const clean = rows.map((row) => make(row, 0));
  const corruptions = await corruptionsOf(context, rows[0]!);
  const maker = new StreamMaker(rows, make, corruptions, {
    ...{ severity: options.severity, repetitions: options.repetitions, rows: options.domain_rows, seed },
    ...{ range: options.range, shape: options.shape, mask: options.mask },
  });
  return { clean, corruptions, maker };
}

export async function evaluateStream(context: StreamContext): Promise<Outcome> {
  const { options, args, seed, signal } = context;
  const [ref = "-", ...more] = args;
  if (more.length > 0) throw new UserError(`one model at a time, found ${args.join(" ")}`, "name one");
  const kinds = streamsOf(options.stream);
  checkApply(options);
  const methods = context.picks.test_time;
  const asking = {
    seed,
    signal,
    info: (text: string) => context.info(text),
    warn: (text: string) => context.warn(text),
  };
  const opened = await openSource(ref, options, asking);
  context.onExit(() => opened.checkpoint.close());
  checkMethods(methods, opened, options);
  context.progress.start({ unit: "rows" });
  const { clean, corruptions, maker } = await openStreams(context, opened);
  const source = await readSource(options, opened, seed);
  context.progress.done();
  const streams = kinds.map((kind) => ({ kind, stretches: maker.of(kind) }));
  const total = streams.reduce((sum, { stretches }) => stretches.reduce((all, { rows }) => all + rows.length, sum), 0);
  const names = methods.map(({ method }) => method.name);
  if (context.dryRun) {
    const told = { streams: kinds, methods: names, corruptions: corruptions.map(({ name }) => name), rows: total };
    if (options.json) context.json(told);
    else context.print(`${total} rows in ${kinds.join(", ")}, for ${names.join(", ")}`);
    return {};
  }
  const gpu = await openGpu({ device: context.device });
  context.onExit(() => gpu.close());
  const model = await SourceModel.load(gpu, { opened, options, asking, source });
  const running = { batchSize: options.batch_size, signal };
  const results: StreamResult[] = [];
  context.progress.start({ total: total * methods.length, unit: "rows" });
  for (const bound of methods) {
    const learner = await model.begin(bound);
    for (const { kind, stretches } of streams) {
      const began = performance.now();
      const scores = await runStretches(learner, stretches, {
        ...running,
        episodic: options.episodic,
        answered: (answers) => context.progress.advance(answers.length, `${bound.method.name}, ${kind}`),
      });
      const seconds = (performance.now() - began) / 1000;
      const tells = learner.tells?.() ?? {};
      const afterwards = await measureRows(learner, clean, running);
      const result = streamResult({ method: bound.method.name, stream: kind, scores, afterwards, tells, seconds });
      results.push(result);
      context.log.event("stream", { ...result });
      await learner.reset();
    }
    learner.free?.();
  }
  context.progress.done();
  model.free();
  if (options.json) context.json({ corruptions: corruptions.map(({ name }) => name), results });
  else context.print(streamTable(results));
  return {};
}
