/**
 * In which blocks of a model facts lie: the subject of a prompt is blurred, and the inner values of the clean run are
 * put back one at a time. What brings the answer back holds the fact. Causal tracing, Meng et al., NeurIPS 2022,
 * https://arxiv.org/abs/2202.05262
 *
 *   embeddings of the subject + N(0, (3 s)^2)    s: standard deviation of the embedding table
 *   indirect effect = p(answer, restored) - p(answer, corrupted)
 *
 * p is the geometric mean over the answer's tokens, each after the true ones before it. The blocks that are marked hold
 * 80 % of the effect of the MLPs at the last token of the subject: those that `unlearn --method isolate --layers auto`
 * trains. The paper restores the MLPs of 10 neighbouring blocks of 48 together; here it is one unless --trace-window
 * says otherwise.
 */
import type { Checkpoint } from "../../../checkpoint/checkpoint.ts";
import type { GroupReference } from "../../../data/groups.ts";
import { UserError } from "../../../errors.ts";
import { requireGroup } from "../../../run/measuring/groups.ts";
import { blocksHolding, causalTrace, SPOTS, TRACE } from "../../../run/tracing/causal-trace.ts";
import { drawFacts, loadFacts } from "../../../run/tracing/facts.ts";
import { PARTS } from "../../../run/tracing/tracer.ts";
import { defineTechnique, type TableCell, type TechniqueSetup } from "../../technique.ts";

const OPTIONS = {
  trace_group: {
    type: "string",
    help: "group whose facts are traced; the only one, or that of --forget-group when left out",
    value: "NAME",
  },
  trace_rows: { type: "number.integer >= 1", help: "facts, drawn by seed; all when left out", value: "K" },
  trace_draws: {
    type: "number.integer >= 1",
    default: TRACE.draws,
    help: "runs with other noise for each",
    value: "N",
  },
  trace_noise: {
    type: "number > 0",
    default: TRACE.noise,
    help: "noise, in deviations of the embedding table",
    value: "X",
  },
  trace_window: {
    type: "number.integer >= 1",
    default: TRACE.window,
    help: "neighbouring blocks whose MLPs or attentions are restored together",
    value: "N",
  },
  trace_share: {
    type: "0 < number <= 1",
    default: TRACE.share,
    help: "share that the named blocks hold",
    value: "SHARE",
  },
  trace_all: { type: "boolean", help: "every token from the subject on, not its last and the prompt's last alone" },
  trace_batch: { type: "number.integer >= 3", default: TRACE.batch, help: "rows that are run at once", value: "N" },
} as const;

type Setup = TechniqueSetup<typeof OPTIONS>;

const groupOf = (asked: string | undefined, groups: readonly string[], forget: string): string =>
  asked ?? (groups.length === 1 ? groups[0]! : forget);

/** Loads a model and traces the group's facts in it. Throws UserError for a classifier. */
async function traced(checkpoint: Checkpoint, group: GroupReference, setup: Setup) {
  const { values, candidates, quantize, seed, signal, loader } = setup;
  const { ref, model, tools, free } = await loader.load(checkpoint, { bits: quantize });
  if (!tools)
    throw new UserError(
      `--probe trace traces the prompts of language models, and ${ref} is a ${model.task}`,
      "give a language model",
    );
  const facts = await loadFacts(group, tools.encode);
  const count = values.trace_rows ?? facts.length;
  if (count > facts.length)
    throw new UserError(
      `--trace-rows ${count}: the group ${group.name} has ${facts.length} rows`,
      "ask for fewer, or give more rows",
    );
  if (checkpoint === candidates[0]) loader.begin(candidates.length * count, "facts");
  const effects = await causalTrace(model, drawFacts(facts, count, seed), {
    draws: values.trace_draws,
    noise: values.trace_noise,
    window: values.trace_window,
    all: values.trace_all ?? false,
    batch: values.trace_batch,
    seed,
    signal,
    ref,
    done: () => loader.tick(ref),
  });
  await free();
  const held = blocksHolding(effects.of.get("mlp")!.get("subject")!, values.trace_share);
  return { ref, facts: count, ...effects, held };
}

type Traced = Awaited<ReturnType<typeof traced>>;

/** A line per model, part and block. */
function tableOf(models: readonly Traced[], share: number): TableCell[][] {
  const spots = SPOTS.filter((spot) => models.some(({ of }) => of.get("state")!.has(spot)));
  const rows = models.flatMap(({ ref, clean, corrupted, of, held }) => [
    [ref, "everything", "", ...spots.map(() => clean - corrupted), ""],
    ...PARTS.flatMap((part) =>
      Array.from(of.get(part)!.get("subject")!, (_, block) => {
        const isHolding = part === "mlp" && held && held.first <= block && block <= held.last;
        const effects = spots.map((spot) => of.get(part)!.get(spot)?.[block]);
        return [ref, part, String(block), ...effects, isHolding ? "*" : ""];
      }),
    ),
  ]);
  return [["model", "restored", "block", ...spots, `holds ${100 * share} %`], ...rows];
}

const jsonOf = ({ ref, facts, clean, corrupted, of, held }: Traced) => ({
  model: ref,
  facts,
  clean,
  corrupted,
  ...(held ? { layers: `${held.first}-${held.last}`, share: held.share } : {}),
  effects: Object.fromEntries(Array.from(of, ([part, by]) => [part, Object.fromEntries(by)])),
});

export const method = defineTechnique({
  name: "trace",
  title: "Causal tracing",
  about: "how much of an answer's probability comes back as parts of single blocks are restored: where facts lie",
  cite: "arXiv:2202.05262",
  metrics: [],
  options: OPTIONS,
  laws: { reproducible: true, companions: true },
  check({ values, metrics, groups, forget, gold }) {
    if (metrics.length > 0)
      throw new UserError(
        "--metric has no effect with --probe trace, which measures the answers' probability",
        "leave it out",
      );
    if (gold) throw new UserError("--gold has no effect with --probe trace", "give the model as one more argument");
    const flag = values.trace_group === undefined ? "--forget-group" : "--trace-group";
    requireGroup(groupOf(values.trace_group, groups, forget), groups, { asker: "--probe trace", flag });
  },

  async run(setup) {
    const { values, groups, forget, candidates } = setup;
    const names = groups.map(({ name }) => name);
    const group = groups.find(({ name }) => name === groupOf(values.trace_group, names, forget))!;
    const models: Traced[] = [];
    for (const checkpoint of candidates) models.push(await traced(checkpoint, group, setup));
    return {
      table: tableOf(models, values.trace_share),
      json: { group: group.name, rows: models.map(jsonOf) },
    };
  },
});
