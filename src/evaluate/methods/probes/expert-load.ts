/**
 * How evenly the experts of a mixture are used, and which groups of the data use which: by layer the share of every
 * group's token slots that each expert has. Demons in the Detail: On Implementing Load Balancing Loss 2025,
 * https://arxiv.org/abs/2501.11873
 *
 *   violation       max E f - 1: how far the fullest expert is above an even part (MaxVio)
 *   specialisation  half the sum over experts of |share of one group - share of another|, the mean over pairs of
 *                   groups: 0 where all use experts alike, 1 where no two groups share one
 */
import { addedLoads, type GroupLoad, loadFigures, specialisation } from "../../../run/tracing/expert-loads.ts";
import { checkExpertProbe, loadsOfModels } from "../../expert-probe.ts";
import { defineTechnique } from "../../technique.ts";

const meanOf = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** A layer's load: of all groups together, and of each. */
function layerLoad(layer: number, loads: readonly GroupLoad[], names: readonly string[]) {
  const { shares, violation } = loadFigures(addedLoads(loads));
  const parted = specialisation(loads);
  const groups = loads.map((load, i) => {
    const own = loadFigures(load);
    return { group: names[i]!, violation: own.violation, shares: own.shares };
  });
  return { layer, violation, shares, ...(parted === undefined ? {} : { specialisation: parted }), groups };
}

export const method = defineTechnique({
  name: "expert-load",
  title: "Load of experts",
  about: "how evenly the experts of each layer are used, and whether groups of rows use experts of their own",
  cite: "arXiv:2501.11873",
  metrics: [],
  options: {
    expert_load_batch: { type: "number.integer >= 1", default: 4, help: "rows of a batch", value: "N" },
  },
  laws: { reproducible: true, companions: true },
  check: (info) => checkExpertProbe(info, "expert-load"),

  async run({ values, ...setup }) {
    const names = setup.groups.map(({ name }) => name);
    const found = await loadsOfModels(setup, values.expert_load_batch);
    const rows = found.map(({ model, layers: own }) => {
      const layers = [...own].map(([layer, loads]) => layerLoad(layer, loads, names));
      const parted = layers.flatMap((one) => one.specialisation ?? []);
      return {
        model,
        violation: meanOf(layers.map(({ violation }) => violation)),
        ...(parted.length > 0 ? { specialisation: meanOf(parted) } : {}),
        layers,
      };
    });
    const several = names.length > 1;
    const header = ["model", "layer", ...(several ? ["group"] : []), "violation", "fullest", "specialisation"];
    const table = rows.flatMap(({ model, layers }) =>
      layers.flatMap(({ layer, groups, specialisation: parted, ...all }) => {
        const cells = ({ violation, shares }: { violation: number; shares: readonly number[] }) => [
          violation,
          `${shares.indexOf(Math.max(...shares))} of ${shares.length}`,
        ];
        const row = (group: string, own: Parameters<typeof cells>[0], last: number | undefined) => [
          ...[model, String(layer), ...(several ? [group] : [])],
          ...[...cells(own), last],
        ];
        return [row("all", all, parted), ...(several ? groups.map((own) => row(own.group, own, undefined)) : [])];
      }),
    );
    return { table: [header, ...table], json: { rows } };
  },
});
