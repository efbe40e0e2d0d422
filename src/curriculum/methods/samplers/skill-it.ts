/**
 * Skill-it: skills that help others whose loss is still high are drawn more. Chen et al. 2023,
 * https://arxiv.org/abs/2307.14430.
 *
 *   p_i in proportion to exp(eta * sum_j A_ij S_j),  S_j = sum of the last `window` held-out losses of skill j
 *
 * A is the graph (row: trained, column: helped). Every round starts from uniform: the window is the memory. The first
 * mixture takes all losses as 1. With `targets` only their columns count, and S_j is the mean. The r-th update sees
 * edges halved r - 1 times with `halve_edges`. Training and evaluation skills are the same groups here.
 */
import { UserError } from "../../../errors.ts";
import { softmax, uniform } from "../../../run/simplex.ts";
import { defineSampler } from "../../contract.ts";
import { readGraph } from "../../graph-file.ts";
import { atLeastTwo, placesOf, wholeSteps } from "../../mixture-options.ts";
import { kept, known } from "../../sampler-state.ts";

/** Shares from a graph and the score of every column. Isolated skills keep 1/K when `ignoreIsolated`. */
export function skillShares(
  graph: readonly (readonly number[])[],
  scores: readonly number[],
  eta: number,
  ignoreIsolated = false,
): number[] {
  const k = graph.length;
  const pull = graph.map((row) => eta * row.reduce((sum, edge, j) => sum + edge * scores[j]!, 0));
  const alone = graph.map((row, i) => ignoreIsolated && row.every((edge, j) => i === j || (!edge && !graph[j]![i])));
  const joined = alone.flatMap((isAlone, i) => (isAlone ? [] : [i]));
  if (joined.length === 0) return uniform(k);
  const shares = softmax(joined.map((i) => pull[i]!));
  return alone.map((isAlone, i) => (isAlone ? 1 / k : (shares[joined.indexOf(i)]! * joined.length) / k));
}

/** Why a graph gives nothing to learn from, if so. */
function emptiness(graph: readonly (readonly number[])[]): string | undefined {
  const most = Math.max(...graph.flat());
  const between = graph.flatMap((row, i) => row.filter((_, j) => j !== i));
  if (Math.max(...between) < 0.05 * most || most === 0) return "the graph is nearly empty: no skill helps another";
  const alike = graph.every((row) => row.every((edge, j) => Math.abs(edge - graph[0]![j]!) < 0.05 * most));
  return alike ? "all rows of the graph are nearly the same: the mixture stays uniform" : undefined;
}

/** A graph in which a helps b, b helps c, and d is alone. */
const TRIAL_GRAPH = '{"groups":["a","b","c","d"],"graph":[[1,0.5,0,0.1],[0,1,0.7,0],[0.2,0,1,0.3],[0,0,0,1]]}';

export const method = defineSampler({
  name: "skill-it",
  title: "Skill-it",
  about: "draws skills by the losses of the skills that they help, through a graph",
  cite: "arXiv:2307.14430",
  needs: ["losses"],
  laws: {
    keepsEveryGroup: true,
    followsLosses: true,
    anyGroupOrder: true,
    shiftInvariant: "skills are drawn by how high losses are",
    stepZero: true,
  },
  trials: [
    { graph: TRIAL_GRAPH },
    { graph: TRIAL_GRAPH, normalize_loss: true, halve_edges: true },
    { graph: TRIAL_GRAPH, targets: ["b"], window: 7 },
    { graph: TRIAL_GRAPH, ignore_isolated: true },
  ],
  options: {
    graph: { type: "string", help: "skill graph from `curriculum graph`", value: "FILE" },
    eta: { type: "number >= 0", default: 0.5, help: "step size; 0 is uniform" },
    round: { type: "number > 0", default: 0.1667, help: "steps under one mixture, or below 1 the share of all steps" },
    every: { type: "number.integer >= 1", default: 50, help: "steps from one evaluation to the next" },
    window: { type: "number.integer >= 1", default: 3, help: "evaluations that are added up" },
    targets: { type: "string[]", help: "the only groups whose loss counts; all when left out" },
    normalize_loss: { type: "boolean", default: false, help: "divide losses by those at the start" },
    ignore_isolated: { type: "boolean", default: false, help: "groups without edges keep the share 1/K" },
    halve_edges: { type: "boolean", default: false, help: "halve the edges between groups after every round" },
  },
  make({ groups, steps, values }) {
    atLeastTwo(groups, "skill-it");
    const k = groups.length;
    if (values.graph === undefined)
      throw new UserError("--method skill-it needs --graph", "make one: bun run curriculum graph ... -o graph.json");
    const names = groups.map(({ name }) => name);
    const graph = readGraph(values.graph, names);
    if (graph.length !== k || graph.some((row) => row.length !== k)) {
      const found = `${graph.length} x ${graph[0]?.length ?? 0}`;
      throw new UserError(`--graph is ${found} but there are ${k} groups`, "one row and one column per group");
    }
    const wrong = graph.flat().find((edge) => !(edge >= 0 && Number.isFinite(edge)));
    if (wrong !== undefined) throw new UserError(`--graph: an edge is ${wrong}`, "edges are 0 or more");
    const targets = values.targets && placesOf(values.targets, groups, "--targets");
    const round = wholeSteps(values.round, steps);
    const every = Math.min(values.every, round);
    const warning = emptiness(graph);

    const shares = (scores: readonly number[], rounds: number) =>
      skillShares(
        graph.map((row, i) => row.map((edge, j) => (values.halve_edges && i !== j ? edge / 2 ** rounds : edge))),
        scores.map((score, j) => (targets && !targets.includes(j) ? 0 : score)),
        values.eta,
        values.ignore_isolated,
      );

    const ones = groups.map(() => 1);
    const memory = { p: shares(ones, 0), rounds: 0, done: 0, first: [] as number[], losses: [] as number[][] };
    const scores = () =>
      ones.map((_, j) => {
        const sum = memory.losses.reduce((all, losses) => all + losses[j]! / (memory.first[j] ?? 1), 0);
        return targets ? sum / memory.losses.length : sum;
      });
    const starting = () => values.normalize_loss && memory.first.length === 0;
    const length = () => (starting() ? 0 : Math.min(every, round - memory.done));

    return {
      ...kept(memory),
      segment: () => ({ probs: memory.p, steps: length() }),
      update({ losses = [] }) {
        const now = known(losses, memory.losses.at(-1) ?? ones, 1);
        if (starting()) {
          memory.first = now.map((loss) => (loss > 0 ? loss : 1));
          return;
        }
        memory.done += length();
        memory.losses = [...memory.losses, now].slice(-values.window);
        if (memory.done < round) return;
        memory.p = shares(scores(), memory.rounds);
        memory.rounds++;
        memory.done = 0;
      },
      notes: () => ({ rounds: memory.rounds, ...(warning && { warning }) }),
    };
  },
});
