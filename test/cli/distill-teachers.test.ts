/** Teachers of the distill script: other vocabularies, caches, teachers that learn, and samples. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { openPlain } from "../../src/checkpoint/open.ts";
import { loadMethods } from "../../src/method/registry.ts";
import { LLAMA, letters, TEXT, tokenizer, Workshop } from "./distill-models.ts";

const shop = await Workshop.make();
afterAll(() => shop.close());
const { at, apart, bytesOf, distill, shell, steps } = shop;
const methods = await loadMethods("distill");

describe("vocabularies", () => {
  test("padding rows are recognised, and said", async () => {
    for (const [teacher, student] of [
      ["padded", "named"],
      ["named", "padded"],
    ]) {
      const { err, code } = await distill(
        `${teacher} --student ${student} --data rows.jsonl --batch-size 4 --method dual-head --label-weight 0 --steps 2 -o ${student}-out/`,
      );
      expect(code).toBe(0);
      expect(err).toMatch(/the vocabularies of 5[06] and 5[06] share 50 outputs; the others are padding/);
    }
  }, 40_000);

  test.each([
    ["foreign", 'token 0 is "Ā" to named/ and "Ȁ" to foreign/'],
    ["wordy", "named/ has 50 outputs, wordy/ 56, and 4 tokens lie beyond 50"],
  ])(
    "%s is another one",
    async (teacher, message) => {
      const { err, code } = await distill(`${teacher}/ --student named/ ${TEXT} --steps 2 -o refused/`);
      expect(err).toContain(`distill: ${message}\n  hint: take --method uld, or let the teacher write text`);
      expect(code).toBe(2);
      expect(existsSync(at("refused"))).toBe(false);
    },
    30_000,
  );

  test("different widths without tokenizers are refused", async () => {
    const { err, code } = await distill(`padded/ --student small/ ${TEXT} --steps 2 -o refused/`);
    expect(err).toContain(
      "distill: small/ has 50 outputs, padded/ 56, and one of them has no tokenizer to compare\n  hint: add tokenizer.json",
    );
    expect(code).toBe(2);
  }, 120_000);

  test("classes of another number are refused", async () => {
    const { err, code } = await distill("mlp-wide/ --student mlp-small/ --data points.jsonl --steps 2 -o refused/");
    expect(err).toContain("distill: mlp-small/ has 3 classes, the teacher mlp-wide/ 4\n");
    expect(code).toBe(2);
  }, 120_000);
});

describe("a teacher with another tokenizer", () => {
  const line = `--method uld ${TEXT} --steps 3 --label-weight 0`;

  test("is the same teacher, whatever numbers it gives its tokens", async () => {
    // The tokens of "spoken" in the order of those of "named": the rows of its embedding and head change places.
    const opened = await shop.tensorsOf("reversed/model.safetensors");
    const order = Array.from({ length: 50 }, (_, id) => (id < 48 ? 47 - id : id));
    const entries = [...opened].map(([name, values]) => {
      const width = values.length / 50;
      const rows = /embed_tokens|lm_head/.test(name);
      const moved = order.flatMap((id) => [...values.subarray(id * width, (id + 1) * width)]);
      return [name, rows ? Float32Array.from(moved) : values] as const;
    });
    await shop.model("spoken", LLAMA, 10, {
      files: { "tokenizer.json": tokenizer(letters(48)) },
      change: (model) => {
        for (const [name, values] of entries) model.parameters.get(name)!.write(values);
      },
    });
    for (const teacher of ["reversed", "spoken"]) {
      const { err, code } = await distill(`${teacher} --student named ${line} -o uld-${teacher}/`);
      expect(err).toBe("");
      expect(code).toBe(0);
    }
    expect(await apart("named/model.safetensors", "uld-spoken/model.safetensors")).toBeGreaterThan(1e-3);
    expect(await apart("uld-spoken/model.safetensors", "uld-reversed/model.safetensors")).toBeLessThan(1e-3);
  }, 40_000);

  test("is heard on the student's own samples, in packed rows, and from a stream", async () => {
    const { err, code } = await shell(
      `$DISTILL reversed --student named ${line} --on-policy 1 --sample-tokens 4 --log uld-own.log -o uld-own/ && $MERGE reversed --method passthrough -q | $DISTILL --student named ${line} --pack --log uld-packed.log -o uld-packed/`,
    );
    expect(err).toBe("");
    expect(code).toBe(0);
    for (const log of ["uld-own.log", "uld-packed.log"]) {
      const heard = steps(log);
      expect(heard).toHaveLength(3);
      for (const { distill } of heard) expect(distill).toBeGreaterThan(0.01);
    }
  }, 40_000);

  test.each([
    ["self --student named", "uld is for a teacher with another tokenizer\n  hint: name a model"],
    ["reversed --student small", "small has no tokenizer, and the same places of a text are found by those of both"],
    ["large --student named", "large has no tokenizer, and the same places"],
    [
      "reversed --student named --teacher-samples 1",
      "a teacher with another tokenizer does not answer in the student's",
    ],
    ["reversed --student named --cache x.safetensors", "uld has no option --cache"],
    ["mlp-large --student mlp-small --data points.jsonl --method uld", "uld is for language models"],
  ])(
    "%s is refused",
    async (argv, message) => {
      const { err, code } = await distill(`${argv} ${argv.includes("--data") ? "-q" : line} -o refused/`);
      expect(err).toContain(`distill: ${message}`);
      expect(code).toBe(2);
    },
    30_000,
  );
});

describe("a cache", () => {
  test("says how much of the teacher's probability it holds", async () => {
    const of = async (k: number) => {
      const { err, code } = await shell(
        `$DISTILL cache --teacher large --data rows.jsonl --top ${k} -o top-${k}.safetensors`,
      );
      expect(code).toBe(0);
      return Number(new RegExp(`the ${k} hold ([\\d.]+) % of the teacher's probability`).exec(err)![1]);
    };
    expect(await of(50)).toBe(100);
    const [one, ten] = [await of(1), await of(10)];
    expect(one).toBeGreaterThan(100 / 50);
    expect(ten).toBeGreaterThan(one);
    expect(ten).toBeLessThan(100);
  });

  test("goes to a place that can be written, or no work is begun", async () => {
    const line = "large --data rows.jsonl --device none -o absent/top.safetensors";
    expect((await distill(`cache ${line}`)).err).toContain("absent: no such folder");
    expect((await shell(`$UNLEARN importance ${line.replace("--data", "--retain")}`)).err).toContain(
      "absent: no such folder",
    );
  });

  test("has a history that makes it again, with what reads the rows", async () => {
    writeFileSync(at("named.jsonl"), '{"ids": [1, 2, 3]}\n');
    await shell(
      "$DISTILL cache large --data named.jsonl --columns input_ids=ids --top-logprobs 3 -q -o named.safetensors",
    );
    const { text } = await shell("$INSPECT named.safetensors --command");
    expect(text).toContain(
      'distill cache --teacher large --data named.jsonl --top-logprobs 3 --columns input_ids=ids -o "$out"',
    );
  });

  test("of everything teaches as the teacher does; its bytes are told beforehand", async () => {
    const plan = await distill(`cache large --data rows.jsonl --top-logprobs 50 -n --json`);
    expect(JSON.parse(plan.text).rows).toBe(12);
    const made = await shell(
      "$DISTILL cache --teacher large --data rows.jsonl --top-logprobs 50 --batch-size 5 -q > all.safetensors && $MERGE large --method passthrough -q | $DISTILL cache - --data rows.jsonl --top-logprobs 50 --batch-size 5 -q -o again.safetensors",
    );
    expect(made.err).toBe("");
    expect(made.code).toBe(0);
    const [one, two] = [await openPlain(at("all.safetensors")), await openPlain(at("again.safetensors"))];
    for (const entry of one.tensors.values()) {
      const [a, b] = [new Uint8Array(entry.bytes), new Uint8Array(entry.bytes)];
      await entry.read(a, 0);
      await two.tensors.get(entry.name)!.read(b, 0);
      expect(b).toEqual(a);
    }
    one.close();
    two.close();
    for (const method of ["kd --temperature 2", "taid"]) {
      const name = method.split(" ")[0]!;
      const live = await distill(
        `large --student small ${TEXT} --steps 4 --optimizer sgd --lr 0.05 --method ${method} -o live-${name}/`,
      );
      expect(live.err).toBe("");
      const cached = await distill(
        `--cache all.safetensors --student small ${TEXT} --steps 4 --optimizer sgd --lr 0.05 --method ${method} -o cached-${name}/`,
      );
      expect(cached.err).toBe("");
      expect(await apart(`live-${name}/model.safetensors`, `cached-${name}/model.safetensors`)).toBeLessThan(2e-5);
    }
  }, 120_000);

  test("--json says what was written; a teacher without numbers writes nothing", async () => {
    const { text, err, code } = await distill(
      "cache large --data rows.jsonl --top-logprobs 3 -q --json -o told.safetensors",
    );
    expect(err).toBe("");
    expect(code).toBe(0);
    const told = JSON.parse(text);
    expect(told).toMatchObject({ file: "told.safetensors", rows: 12, k: 3 });
    expect(told.groups).toEqual([{ name: "rows", rows: 12, tokens: told.tokens }]);
    expect(told.bytes).toBeGreaterThan(1000);
    expect(told.mass).toBeLessThan(1);
    const odd = await distill("cache large --student small --data rows.jsonl -q -o never.safetensors");
    expect(odd.err).toContain("distill: --student has no effect without --teacher-url");
    expect(odd.code).toBe(2);
    await shop.model("broken", LLAMA, 1, {
      change(model) {
        const norm = model.parameters.get("model.norm.weight")!;
        norm.write(new Float32Array(norm.size).fill(Number.NaN));
      },
    });
    const broken = await distill("cache broken --data rows.jsonl --top-logprobs 3 -q -o never.safetensors");
    expect(broken.err).toContain("distill: broken: the logits of rows.jsonl:1, token 0, are not finite\n  hint: ");
    expect(broken.code).toBe(1);
    expect(existsSync(at("never.safetensors"))).toBe(false);
  }, 120_000);

  test("does not know other rows, other vocabularies, or samples", async () => {
    await distill("cache --teacher large --data rows.jsonl --top-logprobs 3 -q -o top3.safetensors");
    const refused = async (line: string, message: string) => {
      const { err, code } = await distill(`--cache top3.safetensors ${line} --steps 2 -q -o refused/`);
      expect(err).toContain(message);
      expect(code).toBe(2);
      expect(existsSync(at("refused"))).toBe(false);
    };
    writeFileSync(at("strange.jsonl"), '{"input_ids": [5, 6, 7]}\n');
    await refused(
      "--student small --data strange.jsonl",
      "strange.jsonl:1: the teacher cache top3.safetensors does not know this row",
    );
    writeFileSync(at("more.jsonl"), `${bytesOf("rows.jsonl")}{"input_ids": [5, 6, 7]}\n{"input_ids": [7, 6, 5]}\n`);
    await refused(
      "--student small --data more.jsonl",
      "more.jsonl:13: the teacher cache top3.safetensors does not know this row; it lacks 2 of 14",
    );
    await refused(
      "--student padded --data rows.jsonl",
      "top3.safetensors was written for a vocabulary of 50; padded has 56",
    );
    await refused("--student small --data rows.jsonl --on-policy 1", "a cached teacher cannot answer samples");
    await refused("--student small --data rows.jsonl --pack", "rows are looked up whole");
    await refused("--student mlp-small --data points.jsonl", "a cache is for language models");
  }, 120_000);
});

describe("--online", () => {
  const names = methods.filter(({ needs }) => needs?.some(({ name }) => name === "trained-teacher"));
  test.each(names.map(({ name }) => name))(
    "%s trains the teacher beside the student, and writes it where it is told; else it is left alone",
    async (name) => {
      const before = bytesOf("large/model.safetensors");
      const line = `large --student small --method ${name} ${TEXT} --steps 4`;
      const plain = await distill(`${line} --overwrite -o offline/`);
      expect(plain.err).toBe("");
      const taught = `${name}-taught-teacher`;
      const online = await distill(
        `${line} --online --teacher-out ${taught}/ --log ${name}-online.log --overwrite -o online/`,
      );
      expect(online.err).toBe("");
      expect(bytesOf("large/model.safetensors")).toEqual(before);
      expect(await apart("large/model.safetensors", `${taught}/model.safetensors`)).toBeGreaterThan(1e-4);
      expect(await apart("offline/model.safetensors", "online/model.safetensors")).toBeGreaterThan(1e-6);
      const heard = steps(`${name}-online.log`);
      expect(heard).toHaveLength(4);
      for (const { teacher_loss, loss } of heard) {
        expect(teacher_loss).toBeGreaterThan(0);
        expect(loss).toBeGreaterThan(teacher_loss!);
      }
      const opened = await openPlain(at(taught));
      expect(opened.files.has("config.json")).toBe(true);
      expect(opened.lineage.at(-1)!.script).toBe("distill");
      opened.close();
    },
    40_000,
  );
});

describe("samples", () => {
  test.each(["--on-policy 1", "--teacher-samples 0.5 --on-policy 0.5", "--method seq-kd"])(
    "%s: the same command gives the same bytes, another seed others",
    async (line) => {
      const key = line.replaceAll(/\W+/g, "");
      const argv = `large --student small ${line} ${TEXT} --steps 5 --sample-tokens 7 --prompt-tokens 3`;
      for (const [name, seed] of [
        ["a", 1],
        ["b", 1],
        ["c", 2],
      ]) {
        const { err } = await distill(`${argv} --seed ${seed} -o ${key}-${name}.safetensors`);
        expect(err).toBe("");
      }
      expect(await apart(`${key}-a.safetensors`, `${key}-b.safetensors`)).toBe(0);
      expect(await apart(`${key}-a.safetensors`, `${key}-c.safetensors`)).toBeGreaterThan(0);
    },
    60_000,
  );
});
