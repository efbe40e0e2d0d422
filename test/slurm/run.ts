/**
 * The batch files of examples/ on a real Slurm of three nodes, made on this machine for the purpose:
 *
 *   bun test/slurm/run.ts
 *
 * Each is run once undisturbed and once with a node that dies half-way, whose task is queued again; both results must
 * have the bytes of a run without Slurm. Ends with `N passed, N failed`, and with 1 where one failed.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeCheckpoint } from "../merge/checkpoint-file.ts";
import { runScript } from "../support/command.ts";
import { normals } from "../support/random.ts";
import { Cluster, missingPrograms } from "./cluster.ts";

const ROOT = join(import.meta.dir, "../..");
const TENSORS = 48;
const SEARCH =
  "left right --base start --method task_arithmetic --search random --budget 240 --data rows.jsonl --batch-size 1".split(
    " ",
  );
const MERGE = ["a", "b", "--base", "base", "--method", "ties", "--weight", "0.5", "--density", "0.4"];

const say = (text: string) => process.stderr.write(`${text}\n`);

/** Models large enough that a shard takes seconds. */
function writeModels(place: string, names: readonly string[]): void {
  for (const [i, name] of names.entries()) {
    mkdirSync(join(place, name), { recursive: true });
    const tensors = Array.from({ length: TENSORS }, (_, t) => [
      `model.layers.${t}.mlp.up_proj.weight`,
      { shape: [1024, 1024], values: normals(100 * i + t, 1 << 20) },
    ]);
    writeCheckpoint(join(place, name, "model.safetensors"), Object.fromEntries(tensors));
  }
}

/** Digests of the files of a folder by name. */
async function digests(folder: string): Promise<string> {
  const lines = readdirSync(folder)
    .sort()
    .map(async (name) => {
      const hash = new Bun.CryptoHasher("sha256");
      for await (const piece of Bun.file(join(folder, name)).stream()) hash.update(piece);
      return `${hash.digest("hex")}  ${name}`;
    });
  return (await Promise.all(lines)).join("\n");
}

/** The first shard that is half-written. */
async function shardBegun(folder: string): Promise<number> {
  for (;;) {
    const names = existsSync(folder) ? readdirSync(folder) : [];
    const found = names.map((name) => /^\.model-0*(\d+)-of-.*\.tmp$/.exec(name)).find((match) => match !== null);
    if (found) return Number(found[1]);
    await Bun.sleep(10);
  }
}

/**
 * Submits the merge over the nodes and waits for its end. `kills`: the node of the first task that writes dies at once.
 * Gives the digests of the result and how many tasks were queued again.
 */
async function mergeOver(cluster: Cluster, place: string, out: string, kills: boolean) {
  const words = [`--array=1-${cluster.nodes.length}`, join(ROOT, "examples/merge-shards.sbatch"), ...MERGE, "-o", out];
  const job = await cluster.submit(words, place);
  await cluster.until("all tasks run", async () =>
    (await cluster.tasks(job)).every(({ state }) => state === "RUNNING"),
  );
  if (kills) {
    const tasks = await cluster.tasks(job);
    const shard = await shardBegun(join(place, out));
    cluster.kill(tasks.find(({ id }) => id === `${job}_${shard}`)!.node);
  }
  await cluster.ended(job);
  return { digests: await digests(join(place, out)), requeued: await cluster.requeued(job) };
}

/** A model, two that were tuned from it, and rows to search with. */
async function writeSearch(place: string): Promise<void> {
  const rows = Array.from({ length: 64 }, (_, i) => ({ x: [...normals(500 + i, 4)], label: i % 3 }));
  writeFileSync(join(place, "rows.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const config = { model_type: "mlp", input_size: 4, hidden_sizes: [32], num_labels: 3 };
  writeFileSync(join(place, "mlp.json"), JSON.stringify(config));
  const made = ["--init mlp.json -o start", "start --seed 1 -o left", "start --seed 2 -o right"];
  for (const line of made) {
    const usual = "--data rows.jsonl --batch-size 8 --save-every 0 --steps 5 --lr 0.1".split(" ");
    const { code, err } = await runScript("train", [...line.split(" "), ...usual], place);
    if (code !== 0) throw new Error(err);
  }
}

/**
 * The shares of a search over the nodes, of which the first to have a trial dies where `kills`. Gives the recipe that
 * all shares together find.
 */
async function searchOver(cluster: Cluster, place: string, out: string, kills: boolean) {
  const tasks = cluster.nodes.map((_, i) => i + 1);
  const job = await cluster.submit(
    [`--array=1-${tasks.length}`, join(ROOT, "examples/search-trials.sbatch"), out, ...SEARCH],
    place,
  );
  const lines = (task: number) => {
    const file = join(place, out, `${task}.jsonl`);
    return existsSync(file) ? readFileSync(file, "utf8").split("\n").length - 1 : 0;
  };
  if (kills) {
    let begun: number | undefined;
    while (begun === undefined) {
      await Bun.sleep(10);
      begun = tasks.find((task) => lines(task) > 2);
    }
    cluster.kill((await cluster.tasks(job)).find(({ id }) => id === `${job}_${begun}`)!.node);
  }
  await cluster.ended(job);
  const shares = tasks.flatMap((task) => ["--trials", join(out, `${task}.jsonl`)]);
  const { code, text, err } = await runScript("merge", [...SEARCH, ...shares], place);
  if (code !== 0) throw new Error(err);
  return { recipe: text, requeued: await cluster.requeued(job) };
}

async function main(): Promise<number> {
  const missing = missingPrograms();
  if (missing.length > 0 || process.getuid?.() !== 0) {
    say(
      `needs ${missing.join(", ") || "root"}: on Debian, apt-get install slurmctld slurmd slurm-client munge, as root`,
    );
    return 2;
  }
  process.env.INGOT = `${process.execPath} ${join(ROOT, "scripts/ingot.ts")}`;
  const folder = mkdtempSync(join(tmpdir(), "ingot-slurm-"));
  const place = join(folder, "work");
  writeModels(place, ["base", "a", "b"]);
  const cluster = new Cluster(folder, 3);
  let [passed, failed] = [0, 0];
  const check = (what: string, holds: boolean) => {
    holds ? passed++ : failed++;
    say(`${holds ? "pass" : "FAIL"}: ${what}`);
  };
  try {
    for (let shard = 1; shard <= 3; shard++) {
      const { code, err } = await runScript("merge", [...MERGE, "--shard", `${shard}/3`, "-o", "alone"], place);
      if (code !== 0) throw new Error(err);
    }
    const expected = await digests(join(place, "alone"));
    await cluster.start();
    const spread = await mergeOver(cluster, place, "spread", false);
    check("merge over three nodes: the bytes of one without Slurm", spread.digests === expected);
    const disturbed = await mergeOver(cluster, place, "disturbed", true);
    check("a node died half-way: its task was queued again", disturbed.requeued === 1);
    check("a node died half-way: the same bytes", disturbed.digests === expected);
    await writeSearch(place);
    await cluster.revive();
    const alone = (await runScript("merge", SEARCH, place)).text;
    check(
      "search over three nodes: the recipe of one process",
      (await searchOver(cluster, place, "t", false)).recipe === alone,
    );
    const lost = await searchOver(cluster, place, "u", true);
    check("a node died in a search: its task was queued again", lost.requeued === 1);
    check("a node died in a search: the same recipe", lost.recipe === alone && alone.includes("task_arithmetic"));
  } finally {
    await cluster.close();
    rmSync(folder, { recursive: true, force: true });
  }
  process.stdout.write(`${passed} passed, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
}

process.exit(await main());
