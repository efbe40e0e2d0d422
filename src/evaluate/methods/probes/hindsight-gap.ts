/**
 * How far customers of a shop are more content with a model's advice than it does them good: their rating at once less
 * the true utility of what they do. RLHS: Mitigating Misalignment in RLHF with Hindsight Simulation, 2025,
 * https://arxiv.org/abs/2501.08617
 */
import type { GroupReference } from "../../../data/groups.ts";
import { readRows } from "../../../data/read-rows.ts";
import { HINDSIGHTS, rated, type Shop, shopIn } from "../../../data/worlds/shop.ts";
import { UserError } from "../../../errors.ts";
import { checkPrompt, PromptEncoder } from "../../../run/generating/prompts.ts";
import { Rollouts } from "../../../run/generating/rollouts.ts";
import type { LoadedModel } from "../../../run/measuring/loaded-model.ts";
import { mean } from "../../measures/means.ts";
import { defineTechnique, type TechniqueSetup } from "../../technique.ts";

interface Asked {
  readonly ids: readonly number[];
  readonly shop: Shop;
  readonly place: string;
}

/** The customers of the groups, as a model reads them. Throws UserError for a row without a shop. */
async function customers(groups: readonly GroupReference[], { ref, model, tools }: LoadedModel): Promise<Asked[]> {
  if (!tools?.tokenizer)
    throw new UserError(`${ref} has no tokenizer, and customers read texts`, "give one with --tokenizer");
  const encoder = new PromptEncoder({ chat: false }, tools.tokenizer, tools.encode.template);
  const asked: Asked[] = [];
  for (const group of groups)
    for await (const { row, place } of readRows(group)) {
      const shop = shopIn(row.extra);
      if (!shop)
        throw new UserError(
          `${place}: --probe hindsight-gap asks what becomes of an answer, and the row has no shop`,
          "take rows of bun run data shop",
        );
      const { ids, text } = encoder.row(row, place);
      checkPrompt({ ids, text, place }, model.sizes, ref);
      asked.push({ ids, shop, place });
    }
  return asked;
}

/** What the most likely answers of a model bring. */
async function measured(
  loaded: LoadedModel,
  asked: readonly Asked[],
  {
    values,
    signal,
    loader,
  }: Pick<TechniqueSetup, "signal" | "loader"> & { readonly values: Readonly<Record<string, number>> },
) {
  const { hindsight_gap_batch: rows, hindsight_gap_tokens: maxTokens, hindsight_gap_trust: trust } = values;
  const { model, ref, tools } = loaded;
  const { tokenizer } = tools!;
  const rollouts = new Rollouts(model, tokenizer);
  const found: Record<"satisfaction" | "hindsight" | "utility" | "false_claims" | "purchases", number>[] = [];
  for (let from = 0; from < asked.length; from += rows!) {
    const own = asked.slice(from, from + rows!);
    const answers = await rollouts.sample(
      own.map(({ ids, place }, i) => ({ ids, key: `${from + i}`, name: place })),
      { group: 1, temperature: 0, maxTokens: maxTokens!, ends: tokenizer!.ends, stops: [], seed: 0, signal },
    );
    for (const [i, { text }] of answers.entries()) {
      const [none, partial, oracle] = HINDSIGHTS.map((hindsight) => rated(own[i]!.shop, text, hindsight, trust!));
      found.push({
        satisfaction: none!.rating,
        hindsight: partial!.rating,
        utility: oracle!.rating,
        false_claims: Number(none!.isFalse),
        purchases: Number(none!.buys),
      });
    }
    loader.tick(ref, own.length);
  }
  rollouts.free();
  const of = (name: keyof (typeof found)[number]) => mean(found.map((own) => own[name]))!;
  const [satisfaction, utility] = [of("satisfaction"), of("utility")];
  return {
    model: ref,
    ...{ customers: found.length, satisfaction, hindsight: of("hindsight"), utility, gap: satisfaction - utility },
    ...{ false_claims: of("false_claims"), purchases: of("purchases") },
  };
}

export const method = defineTechnique({
  name: "hindsight-gap",
  title: "Gap of hindsight",
  about: "how much better a model's advice to customers of data shop seems at once than it turns out",
  cite: "arXiv:2501.08617",
  metrics: [],
  options: {
    hindsight_gap_tokens: { type: "number.integer >= 1", default: 24, help: "most tokens of an answer", value: "N" },
    hindsight_gap_trust: {
      type: "0.5 <= number <= 1",
      default: 0.9,
      help: "chance that a buyer gives a claim to be true",
      value: "P",
    },
    hindsight_gap_batch: { type: "number.integer >= 1", default: 16, help: "answers at once", value: "N" },
  },
  laws: { reproducible: true, companions: true },

  check({ metrics, gold }) {
    if (metrics.length > 0) throw new UserError("--metric has no effect with --probe hindsight-gap", "leave it out");
    if (gold)
      throw new UserError("--gold has no effect with --probe hindsight-gap", "give the model as one more argument");
  },

  async run({ values, groups, candidates, quantize, loader, signal }) {
    const rows: Awaited<ReturnType<typeof measured>>[] = [];
    for (const [i, checkpoint] of candidates.entries()) {
      const loaded = await loader.load(checkpoint, { bits: quantize });
      const asked = await customers(groups, loaded);
      if (i === 0) loader.begin(candidates.length * asked.length, "customers");
      rows.push(await measured(loaded, asked, { values, signal, loader }));
      await loaded.free();
    }
    const columns = ["satisfaction", "hindsight", "utility", "gap", "false_claims", "purchases"] as const;
    return {
      table: [
        ["model", ...columns.map((name) => name.replace("_", " "))],
        ...rows.map((row) => [row.model, ...columns.map((name) => row[name])]),
      ],
      json: { rows },
    };
  },
});
