/** What experiments with denoisers share: eight Gaussians on a circle, and what is drawn of them. */
import type { Lab } from "./curriculum-lab.ts";
import { normal } from "./support.ts";

const RADIUS = 0.7;
const DEVIATION = 0.05;

/** Where the mode of a class is. */
export const modeOf = (label: number): readonly [number, number] => {
  const angle = (Math.PI / 4) * (label + 0.5);
  return [RADIUS * Math.cos(angle), RADIUS * Math.sin(angle)];
};

export interface ModeRow {
  readonly x: readonly number[];
  readonly label: number;
}

/** Rows of all modes by turns. */
export function modeRows(count: number, seed: number): ModeRow[] {
  const next = normal(seed);
  return Array.from({ length: count }, (_, i) => {
    const [x, y] = modeOf(i % 8);
    return { x: [x + DEVIATION * next(), y + DEVIATION * next()], label: i % 8 };
  });
}

/** The mode that a row is nearest to. */
export function nearestMode({ x: [x = 0, y = 0] }: { readonly x: readonly number[] }): number {
  const away = Array.from({ length: 8 }, (_, label) => Math.hypot(x - modeOf(label)[0], y - modeOf(label)[1]));
  return away.indexOf(Math.min(...away));
}

export const denoiser = (labels: number) => ({
  ...{ model_type: "denoiser", input_size: 2, hidden_size: 48, num_hidden_layers: 2, num_labels: labels },
});

/** Rows that a model draws. */
export async function drawn(lab: Lab, line: string): Promise<readonly { readonly x: readonly number[] }[]> {
  const text = await lab.script("sample", `vectors ${line}`);
  return text
    .trim()
    .split("\n")
    .map((row) => JSON.parse(row) as { x: number[] });
}

/** Energy distance of what a model draws from rows: over all of them, and in the mean over classes. */
export async function distance(lab: Lab, model: string, rows: string, steps: number) {
  const line = `${model} --data ${rows} --probe energy-distance --energy-distance-steps ${steps} --json`;
  const { rows: found } = JSON.parse(await lab.script("evaluate", line)) as {
    rows: readonly [{ readonly energy_distance: number; readonly by_class?: number }];
  };
  return found[0];
}
