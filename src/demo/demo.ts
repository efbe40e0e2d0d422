/**
 * The embedded demo: checks merges on this adapter, then tells the story of `story.ts`, measuring every model on the
 * way. Every command it runs is printed and can be typed again.
 */
import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UserError } from "../errors.ts";
import { humanTime } from "../text/format.ts";
import { table } from "../text/table.ts";
import { checkMerges } from "./merges.ts";
import { runLine, runPrinted, say } from "./shell.ts";
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
  await compare(folder, TWICE, "the pipe gave other bytes than the files");
  await makeAgain(folder, lineage);
  process.stdout.write(`\n${table(rows)}\n\nby file, by pipe and by the lineage: the same bytes\n\n${lineage}\n`);
  process.stdout.write(`report: ${join(folder, "report.html")}\n`);
  say(`demo: ${humanTime((performance.now() - began) / 1000)}; next: edit examples/pipeline.sh`);
}

/**
 * Runs the script that made the last model, with the results of all steps but the last in place, so that it takes as
 * long as that one. Throws UserError when the bytes differ.
 */
async function makeAgain(folder: string, script: string): Promise<void> {
  say("\n# The last model once more, by the script that its lineage gives");
  mkdirSync(join(folder, "steps"));
  const models = STORY.flatMap(({ makes }) => makes ?? []);
  for (const [i, model] of models.slice(0, -1).entries())
    symlinkSync(join("..", model), join(folder, "steps", `${i + 1}.safetensors`));
  await runPrinted(script, folder, "steps", "again/");
  const pair = [models.at(-1)!, "again"].map((model) => `${model}/model.safetensors`);
  await compare(folder, pair, "the script out of the lineage gave other bytes");
}

/** Throws UserError when two files differ. */
async function compare(folder: string, names: readonly string[], message: string): Promise<void> {
  const [one, other] = await Promise.all(names.map((name) => Bun.file(join(folder, name)).bytes()));
  if (Buffer.compare(one!, other!) !== 0) throw new UserError(message, "please report it with: bun run doctor", 1);
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
