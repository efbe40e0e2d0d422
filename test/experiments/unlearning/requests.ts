import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Experiment } from "../experiment.ts";
import { World } from "../unlearn-world.ts";

/** Requests, of a person each, with the four rows on them. */
const [REQUESTS, ROWS] = [8, 4];
const STEPS = "npo --beta 1 --lr 2e-4 --steps 10 --batch-size 4 --weight-decay 0";
const HELD = "--retain rest.jsonl --retain-loss kl --retain-weight 5 --original @first";
/** How each request is unlearnt; FISHER is what holds weights to those of the first model. */
const WAYS = {
  alone: `${STEPS} --retain-weight 0`,
  "with a prior": `${STEPS} ${HELD}`,
  "with both": `${STEPS} ${HELD} --penalty-weight 3 --penalty-from @first`,
} as const;
const COLUMNS = ["requests", "first request", "neighbours", "general", "erosion"] as const;

export const experiment: Experiment = {
  title: "Eight requests one after the other",
  about: `A decoder knows 20 invented people by heart. \`unlearn requests\` unlearns eight of them, four rows each, by 10 steps of \`npo\`: *alone*, with a
prior on four other people (KL from the model as it was before all requests), and with a quadratic penalty on the way from that model besides.
Probabilities of whole answers by token after the last request: of all eight requests, of the first, of the four others (neighbours), and of five people
that no step has seen (general); *erosion* is what the last has lost.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  columns: COLUMNS,
  figures: Object.fromEntries(Object.keys(WAYS).flatMap((way) => COLUMNS.map((column) => [`${way}: ${column}`, {}]))),
  async run(seed) {
    const folder = mkdtempSync(join(tmpdir(), "ingot-requests-"));
    try {
      const world = await new World(folder).make(seed);
      const people = readFileSync(world.at("retain.jsonl"), "utf8").trim().split("\n");
      const part = (from: number, to: number) => `${people.slice(from, to).join("\n")}\n`;
      for (let i = 0; i < REQUESTS; i++) writeFileSync(world.at(`r${i}.jsonl`), part(ROWS * i, ROWS * (i + 1)));
      writeFileSync(world.at("rest.jsonl"), part(ROWS * REQUESTS, people.length));
      const requests = Array.from({ length: REQUESTS }, (_, i) => ["--request", `r${i}.jsonl`]).flat();
      const figures: Record<string, number> = {};
      for (const [i, [way, by]] of Object.entries(WAYS).entries()) {
        const text = await world.call("unlearn", [
          ...["requests", "base", ...requests, "--by", by, "--neighbours", "rest.jsonl", "--general", "other.jsonl"],
          ...["--json", "-q", "-o", `stream-${i}/`],
        ]);
        const { rows, erosion } = JSON.parse(text) as {
          rows: { forget: number; values: Readonly<Record<string, number>> }[];
          erosion: number;
        };
        const { forget, values } = rows.at(-1)!;
        figures[`${way}: requests`] = forget;
        figures[`${way}: first request`] = values["request-1"]!;
        figures[`${way}: neighbours`] = values.neighbours!;
        figures[`${way}: general`] = values.general!;
        figures[`${way}: erosion`] = erosion;
      }
      return figures;
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
