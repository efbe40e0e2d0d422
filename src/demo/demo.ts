/**
 * The embedded demo: checks merges on this adapter, then tells the story of `story.ts`, measuring every model on the
 * way. Every command it runs is printed and can be typed again.
 */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UserError } from "../errors.ts";
import { humanTime } from "../text/format.ts";
import { table } from "../text/table.ts";
import { checkMerges } from "./merges.ts";
import { runLine, say } from "./shell.ts";
import { FILES, MEASURE, STORY, TWICE } from "./story.ts";

/**
 * Runs the demo; its files stay in a temporary folder, whose name it prints. Throws UserError when a result is wrong.
 */
export async function demo(): Promise<void> {
  const began = performance.now();
  await checkMerges();
  const folder = mkdtempSync(join(tmpdir(), "ingot-demo-"));
  for (const [name, text] of Object.entries(FILES)) writeFileSync(join(folder, name), text);
  const rows = [
    ["model", "language: loss", "kept: loss, known by heart", "to forget: loss, known by heart", "made in"],
  ];
  let lineage = "";
  for (const { about, stages, makes } of STORY) {
    if (about) say(`\n# ${about}`);
    const { seconds, text } = await runLine(
      stages.map((stage) => `${stage} -q`),
      folder,
    );
    if (makes) {
      rows.push([makes, ...(await measured(makes, folder)), humanTime(seconds)]);
      say(table([rows[0]!, rows.at(-1)!]));
    }
    lineage = text;
  }
  const [byFile, byPipe] = await Promise.all(TWICE.map((name) => Bun.file(join(folder, name)).bytes()));
  if (Buffer.compare(byFile!, byPipe!) !== 0)
    throw new UserError("the pipe gave other bytes than the files", "please report it with: bun run doctor", 1);
  process.stdout.write(`\n${table(rows)}\n\nby file and by pipe: the same bytes\n\n${lineage}\n`);
  process.stdout.write(`report: ${join(folder, "report.html")}\n`);
  say(`demo: ${humanTime((performance.now() - began) / 1000)}; next: edit examples/pipeline.sh`);
}

/** Cells of a model's row. */
async function measured(model: string, folder: string): Promise<string[]> {
  const { text } = await runLine([`evaluate ${model} ${MEASURE} --json -q`], folder, { quiet: true });
  const found = JSON.parse(text) as { rows: { group: string; metric: string; value: number }[] };
  const of = (group: string, metric: string) =>
    found.rows.find((row) => row.group === group && row.metric === metric)!.value;
  const both = (group: string) =>
    `${of(group, "loss").toFixed(2)}  ${(100 * of(group, "exact-memorisation")).toFixed(0)} %`;
  return [of("language", "loss").toFixed(3), both("keep"), both("forget")];
}
