/** The probe of hyperdimensional codes from the shell: known rows, new rows, and what is refused. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../support/command.ts";
import { normals } from "../support/random.ts";

test("rows far from two known domains are found, and known ones go to their own", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ingot-hdc-"));
  try {
    // Two domains at opposite places of a plane of their own, and a third beside it.
    const rows = (at: readonly number[], first: number) =>
      Array.from({ length: 60 }, (_, i) => {
        const noise = normals(1000 * first + i, 6);
        const label = i % 2;
        return { x: [...noise].map((x, d) => x + 3 * (at[d] ?? 0) + (d === 0 ? (label ? 2 : -2) : 0)), label };
      });
    const write = (name: string, list: readonly unknown[]) =>
      writeFileSync(join(folder, name), list.map((row) => `${JSON.stringify(row)}\n`).join(""));
    write("a.jsonl", rows([0, 1, 0, 0, 0, 0], 1));
    write("b.jsonl", rows([0, -1, 0, 0, 0, 0], 2));
    write("c.jsonl", rows([0, 0, 1, 1, 0, 0], 3));
    const config = { model_type: "mlp", input_size: 6, hidden_sizes: [24], num_labels: 2 };
    writeFileSync(join(folder, "mlp.json"), JSON.stringify(config));
    const run = (script: string, line: string) => runScript(script, line.split(" "), folder);
    const train = "--init mlp.json --data a=a.jsonl --data b=b.jsonl --steps 40 --lr 1e-2 --save-every 0 -o model/";
    expect((await run("train", train)).code).toBe(0);
    const probe = "model/ --probe hdc --hdc-bits 2048 --data a=a.jsonl --data b=b.jsonl";
    const done = await run("evaluate", `${probe} --data c=c.jsonl --json`);
    expect([done.code, done.err]).toEqual([0, ""]);
    const [found] = (JSON.parse(done.text) as { rows: Record<string, number | string>[] }).rows;
    expect(found).toMatchObject({ new: "c", new_rows: 60, prototypes: 4 });
    expect(found!.hdc_auc).toBeGreaterThan(0.9);
    expect(found!.routed).toBeGreaterThan(0.9);
    expect(found!.found).toBeGreaterThan(0.4);
    const alone = await run("evaluate", "model/ --probe hdc --data a=a.jsonl");
    expect([alone.code, alone.err]).toEqual([2, expect.stringContaining("there is one group")]);
    const none = await run("evaluate", `${probe} --hdc-new x`);
    expect([none.code, none.err]).toEqual([2, expect.stringContaining("needs a group named x")]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
