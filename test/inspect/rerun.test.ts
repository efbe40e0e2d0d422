/** Commands and trees out of lineages. That the commands make the same tensors is shown in test/cli/inspect.test.ts. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { LineageEntry } from "../../src/checkpoint/checkpoint.ts";
import { lineageLines } from "../../src/inspect/lineage.ts";
import { rerun } from "../../src/inspect/rerun.ts";
import { quote } from "../../src/text/quote.ts";

const step = (run: string, inputs: LineageEntry["inputs"], more: Partial<LineageEntry> = {}): LineageEntry => ({
  script: "merge",
  version: "0.1.0",
  method: "linear",
  options: {},
  seed: 0,
  inputs,
  run,
  time: "",
  ...more,
});
const model = (ref: string) => ({ ref, role: "model" });
const base = (ref: string) => ({ ref, role: "base" });
const commands = async (...lineage: LineageEntry[]) => (await rerun(lineage)).commands;

describe("commands", () => {
  test("options, seed and filtered values", async () => {
    const options = { weight: "0.5,-1", set: ["weight:mlp=0.2,0.8", "t:a b=1"], dtype: "BF16", compat_rounding: true };
    expect(await commands(step("1", [model("a b/"), model("c")], { options, seed: 7 }))).toEqual([
      `bun run merge 'a b/' c --method linear --weight 0.5,-1 --set weight:mlp=0.2,0.8 --set 't:a b=1' --dtype BF16 --compat-rounding --seed 7 -o "$out"`,
    ]);
  });

  test("lists as they parse: numbers joined by commas, a flag for each text", async () => {
    const options = {
      data: ["a=x y.jsonl", "b,c.jsonl"],
      mixture: [0.5, 1e-7],
      lora_targets: ["q"],
      metric: [],
      k: null,
    };
    expect(await commands(step("1", [model("m")], { script: "train", method: undefined, options }))).toEqual([
      `bun run train m --data 'a=x y.jsonl' --data b,c.jsonl --mixture 0.5,1e-7 --lora-targets q -o "$out"`,
    ]);
  });

  test("rows that came through a pipe are asked for, one by one", async () => {
    const options = { data: ["a=-", "/dev/fd/63", "b.jsonl"], eval_data: "-", lr: "-1" };
    const [line] = await commands(step("1", [model("m")], { script: "train", method: undefined, options }));
    expect(line).toBe(
      // biome-ignore-start lint/suspicious/noTemplateCurlyInString: the shell fills it in
      'bun run train m --data a="${INPUT_1:?set it to what --data read from -}"' +
        ' --data "${INPUT_2:?set it to what --data read from /dev/fd/63}" --data b.jsonl' +
        ' --eval-data "${INPUT_3:?set it to what --eval_data read from -}" --lr=-1 -o "$out"',
      // biome-ignore-end lint/suspicious/noTemplateCurlyInString: the shell fills it in
    );
  });

  test("a result beside the main one of its step goes where its option says", async () => {
    const options = { online: true, teacher_out: true, steps: 4 };
    const inputs = [
      { ref: "small", role: "student" },
      { ref: "large", role: "teacher" },
    ];
    const taught = step("1", inputs, { script: "distill", method: "bd_kd", options });
    expect(await commands(taught)).toEqual([
      'bun run distill --method bd_kd --student small --teacher large --online --steps 4 -o "$work/1-main.safetensors" --teacher-out "$out"',
    ]);
    const { script } = await rerun([taught, step("2", [model("run:1"), model("b")])]);
    expect(script).toContain('test -e "$work/1.safetensors" || bun run distill ');
    expect(script).toContain(
      '-o "$work/1-main.safetensors" --teacher-out "$work/1.safetensors"\nbun run merge "$work/1',
    );
    const named = step("1", inputs, { script: "distill", options: { online: true, teacher_out: "t/" } });
    expect(await commands(named)).toEqual([
      'bun run distill --method linear --student small --teacher large --online --teacher-out t/ --overwrite -o "$out"',
    ]);
  });

  test("a value that looks like a flag is tied to its own", async () => {
    const [line] = await commands(step("1", [model("a")], { options: { weight: "-0.5" } }));
    expect(line).toContain(" --weight=-0.5 ");
  });

  test("results of earlier steps go through files, also where two steps use one", async () => {
    const found = await commands(
      step("1", [model("a"), model("b")]),
      step("2", [model("run:1"), model("c")]),
      step("3", [model("run:2"), base("run:1")], { method: "ties" }),
    );
    expect(found).toEqual([
      `bun run merge a b --method linear -o "$work/1.safetensors"`,
      `bun run merge "$work/1.safetensors" c --method linear -o "$work/2.safetensors"`,
      `bun run merge "$work/2.safetensors" --method ties --base "$work/1.safetensors" -o "$out"`,
    ]);
  });

  test("a base among the models keeps its place", async () => {
    const [first] = await commands(step("1", [base("a"), model("b")], { method: "slerp", options: { t: "0.3" } }));
    expect(first).toBe(`bun run merge a b --method slerp --base a --t 0.3 -o "$out"`);
    const options = { weight: "0.5,0.3,1" };
    const [last] = await commands(step("1", [model("a"), model("b"), base("c")], { method: "ties", options }));
    expect(last).toBe(`bun run merge a b c --method ties --base c --weight 0.5,0.3,1 -o "$out"`);
    const [apart] = await commands(step("1", [model("a"), model("b"), base("c")], { method: "ties" }));
    expect(apart).toBe(`bun run merge a b --method ties --base c -o "$out"`);
  });

  test("models of the Hub are named at the revision they had", async () => {
    const revision = "0123456789abcdef";
    const refs = ["hf:o/n", "hf:o/n@main", "hf:o/n:x.safetensors"];
    const [line] = await commands(
      step(
        "1",
        refs.map((ref) => ({ ...model(ref), revision })),
      ),
    );
    expect(line).toStartWith(
      `bun run merge hf:o/n@${revision} hf:o/n@${revision} hf:o/n@${revision}:x.safetensors --method`,
    );
  });

  test("what came through a pipe is asked for", async () => {
    const piped = { ...model("-"), header_sha256: "ab12" };
    const [line] = await commands(step("1", [piped, base("/dev/fd/63")], { method: "ties" }));
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell fills it in
    expect(line).toContain('"${INPUT_1:?set it to what came through - (SHA-256 of the header ab12)}" --method');
    expect(line).toContain('INPUT_2:?set it to what came through /dev/fd/63}"');
  });

  test("a recipe is written down word for word, and a result that it names goes there", async () => {
    const recipe = "merge_method: linear\nmodels:\n- model: ./made\n- model: it's/b\n";
    const found = await commands(
      step("1", [model("a"), model("b")]),
      step("2", [model("run:1"), model("it's/b")], { options: { recipe } }),
    );
    expect(found).toEqual([
      "test -e ./made || bun run merge a b --method linear -o ./made",
      `printf %s 'merge_method: linear\nmodels:\n- model: ./made\n- model: it'\\''s/b\n' > "$work/2.yml"`,
      `bun run merge "$work/2.yml" -o "$out"`,
    ]);
  });

  test("the documents of one recipe are one command", async () => {
    const recipe =
      "name: x\nmerge_method: linear\nmodels:\n- model: a\n- model: b\n---\nmerge_method: linear\nmodels:\n- model: x\n- model: c\n";
    const found = await commands(
      step("1", [model("a"), model("b")], { options: { recipe } }),
      step("2", [model("run:1"), model("c")], { options: { recipe } }),
    );
    expect(found.map((line) => line.split("\n")[0]!)).toEqual([
      "printf %s 'name: x",
      `bun run merge "$work/2.yml" -o "$out"`,
    ]);
  });

  describe("an adapter on its base", () => {
    const trained = (
      run: string,
      ref: string,
      options: LineageEntry["options"] = {},
      ...more: LineageEntry["inputs"]
    ) => step(run, [model(ref), ...more], { script: "train", method: undefined, options });
    const lora = { lora: true };

    test("is both steps, where both are known", async () => {
      const found = await commands(
        trained("1", "a"),
        trained("2", "run:1", lora),
        trained("3", "run:1", { lora_continue: true }, { ref: "run:2", role: "adapter" }),
        trained("4", "run:3+my ad"),
      );
      expect(found.slice(2)).toEqual([
        `bun run train "$work/1.safetensors"+"$work/2.safetensors" --lora-continue -o "$work/3.safetensors"`,
        `bun run train "$work/1.safetensors"+"$work/3.safetensors" -o "$out"`,
      ]);
    });

    test("is named as it was typed, where ingot did not make it", async () => {
      const [, foreignAdapter] = await commands(trained("1", "a"), trained("2", "run:1+it's/ad"));
      expect(foreignAdapter).toBe(`bun run train "$work/1.safetensors"+'it'\\''s/ad' -o "$out"`);
      const [, foreignBase] = await commands(trained("1", "a b/", lora), trained("2", "run:1+ad"));
      expect(foreignBase).toBe(`bun run train 'a b/'+"$work/1.safetensors" -o "$out"`);
    });

    test("can stand on an adapter", async () => {
      const found = await commands(trained("1", "a", lora), trained("2", "run:1+x", lora), trained("3", "run:2+y"));
      expect(found.at(-1)).toBe(`bun run train a+"$work/1.safetensors"+"$work/2.safetensors" -o "$out"`);
    });

    test("follows the option that took it", async () => {
      const student = { ref: "run:1", role: "student" };
      const inputs = [student, { ref: "run:2", role: "adapter" }, { ref: "t", role: "teacher" }];
      const [, , found] = await commands(
        trained("1", "a"),
        trained("2", "run:1", lora),
        step("3", inputs, { script: "distill", method: "kd", options: { lora_continue: true } }),
      );
      expect(found).toBe(
        `bun run distill --method kd --student "$work/1.safetensors"+"$work/2.safetensors" --teacher t --lora-continue -o "$out"`,
      );
    });

    test("may have been put on another base than its own: then that is a step without another use", async () => {
      const [base, other, adapter] = [trained("1", "a"), trained("2", "run:1"), trained("3", "run:1", lora)];
      const [, , , found] = await commands(base, other, adapter, trained("4", "run:3+ad"));
      expect(found).toBe(`bun run train "$work/2.safetensors"+"$work/3.safetensors" -o "$out"`);
      // Two such steps: which is it?
      const [, , , , asked] = await commands(base, other, trained("2b", "a"), adapter, trained("4", "run:3+ad"));
      expect(asked).toBe(
        // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell fills it in
        'bun run train "${INPUT_1:?set it to the base under the adapter of step 4}"+"$work/4.safetensors" -o "$out"',
      );
    });

    test("that a recipe names goes where the recipe looks for it, and so does the base", async () => {
      const recipe = "merge_method: linear\nmodels:\n- model: ./made+./ad\n- model: b\n";
      const found = await commands(
        trained("1", "a"),
        trained("2", "run:1", lora),
        step("3", [model("run:2+./ad"), model("b")], { options: { recipe } }),
      );
      expect(found.slice(0, 2)).toEqual([
        "test -e ./made || bun run train a -o ./made",
        "test -e ./ad || bun run train ./made --lora -o ./ad",
      ]);
    });

    test("a lineage of adapters on adapters does not grow without end", async () => {
      const chain = [trained("0", "a", lora)];
      for (let i = 1; i < 3000; i++) chain.push(trained(String(i), `run:${i - 1}+x`, lora));
      expect((await commands(...chain)).join("\n").length).toBeLessThan(1e6);
    });
  });

  test("a hostile lineage puts no command into the script", async () => {
    const evil = "$(touch x); `touch x` 'touch x'";
    const [line] = await commands(
      step("1", [model(evil), model("--out=x"), { ref: `run:${evil}`, role: evil, header_sha256: evil }], {
        method: evil,
        options: { evil, set: [evil] },
      }),
    );
    // The shell splits the line into the words that were meant, and runs nothing else.
    const child = Bun.spawnSync(["sh", "-c", `INPUT_1=in; out=o; bun() { for w; do echo "<$w>"; done; }; ${line}`]);
    expect(child.stdout.toString().trimEnd().split("\n")).toEqual(
      [
        "run",
        "merge",
        evil,
        "./--out=x",
        "--method",
        evil,
        `--${evil}`,
        "in",
        "--evil",
        evil,
        "--set",
        evil,
        "-o",
        "o",
      ].map((word) => `<${word}>`),
    );
    expect(line).toContain(":?set it to the result of run:?(touch x)? ?touch x? ?touch x?");
    const script = step("1", [], { script: "../evil.ts" });
    await expect(rerun([script])).rejects.toThrow(
      "the lineage's step 1 is by ../evil.ts, which is not a script of ingot",
    );
  });

  test("whatever a recipe holds, the script writes it down and runs none of it", async () => {
    const tail = "merge_method: linear\nmodels:\n- model: a\n";
    const shells = ["'; touch x; '", "RECIPE\ntouch x", "'\\'' $(touch x) `touch x` \\", "\r\n'\"'\"'"];
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(fc.constantFrom(...shells), fc.string({ unit: "grapheme" }))),
        async (parts) => {
          const comment = parts
            .join("")
            .replaceAll(/[\r\n]/g, " ")
            .replaceAll(/\p{Cc}/gu, "");
          const recipe = `# ${comment}\n${tail}`;
          const [first] = await commands(step("1", [model("a")], { options: { recipe } }));
          const child = Bun.spawnSync(["sh", "-c", `work=/nonexistent; ${first!.replace(/ > "\$work\/1.yml"$/, "")}`]);
          expect(child.stdout.toString()).toBe(recipe);
        },
      ),
      { numRuns: 60 },
    );
  });

  test.each([
    ["a recipe", { options: { recipe: "name: x\nRECI\0PE\ntouch x\n" } }, "control character"],
    ["a value", { options: { weight: "1\u001b[2J" } }, 'control character in "1\\u001b[2J"'],
    ["a value of a list", { options: { data: ["a", "\u009b2J"] } }, 'control character in "\\u009b2J"'],
    ["a name", { options: { "a\u007f": 1 } }, "control character"],
    ["an input", { inputs: [{ ref: "a\0" }] }, "control character"],
    [
      "an option that is none",
      { options: { "a b": 1 } },
      'has the option "a b", which no step records'.replaceAll('"', ""),
    ],
    ["a place to write to", { options: { out: "x" } }, "has the option out, which no step records"],
  ])("%s that no step writes is refused", async (_, more, message) => {
    await expect(rerun([step("1", [], more as Partial<LineageEntry>)])).rejects.toThrow(message);
  });

  test("words are quoted for sh", () => {
    expect([quote("a/b-c.d@x:y=1,2"), quote("a b"), quote("it's"), quote("$x"), quote("")]).toEqual([
      "a/b-c.d@x:y=1,2",
      "'a b'",
      "'it'\\''s'",
      "'$x'",
      "''",
    ]);
  });
});

test("the tree names earlier steps by number, oldest first", () => {
  const lines = lineageLines([
    step("r1", [model("a"), { ...model("hf:o/n"), revision: "0123456789abcdef" }], { options: { weight: "1,2" } }),
    step("r2", [model("run:r1"), base("b")], {
      method: "slerp",
      options: { t: 0.5, recipe: "x\ny\n" },
      seed: 3,
      time: "T",
    }),
  ]);
  expect(lines).toEqual([
    "1  merge linear  weight=1,2",
    "   ├ model a",
    "   └ model hf:o/n (0123456789ab)",
    "     run r1, version 0.1.0",
    "2  merge slerp  t=0.5 recipe=2 lines of YAML seed=3",
    "   ├ model step 1",
    "   └ base b",
    "     run r2, version 0.1.0, T",
  ]);
});

test("the tree names an adapter and its base", () => {
  const lines = lineageLines([
    step("r1", [model("a")], { options: { lora: true } }),
    step("r2", [model("run:r1+ad")]),
    step("r3", [model("run:r2+other")]),
  ]);
  expect(lines.filter((line) => line.includes("└"))).toEqual([
    "   └ model a",
    "   └ model a + step 1",
    "   └ model step 2 + other",
  ]);
});

test("nothing in a tree reaches the terminal unescaped", () => {
  const evil = "\u001b[2Jx";
  const entry = step(evil, [{ ref: evil, role: evil, revision: evil }], {
    script: evil,
    method: evil,
    options: { [evil]: evil },
    version: evil,
    time: evil,
  });
  const text = lineageLines([entry]).join("\n");
  expect(text).not.toContain("\u001b");
  expect(text).toContain('"\\u001b[2Jx"');
});
