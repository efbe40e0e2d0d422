/** `serve` with models that write together: what `sample` writes with them, and texts that they judge together. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { ask, servingLab, startServer } from "./lab.ts";

setDefaultTimeout(120_000);
const { folder, run } = servingLab();
/** With INGOT_TEST_LONG=1 every way to write together is served, not the first alone. */
const LONG = process.env.INGOT_TEST_LONG === "1";

const WAYS = [
  ["a/", "--with", "b/", "--method", "contrastive"],
  ["a/", "--with", "b/"],
  ["a/", "--draft", "b/"],
  ["a/", "--draft", "b/", "--with", "b/", "--method", "contrastive"],
  ["a/", "--with", "b/", "--ensemble", "switch", "--switch-at", "3"],
  ["a/", "--skip-layers", "0"],
].slice(0, LONG ? undefined : 1);

test.each(WAYS)("serve %s %s %s", async (...argv) => {
  const given = argv.filter((word) => word !== undefined);
  const server = await startServer([...given, "--batch-size", "3"], folder);
  try {
    const drawn = "-m 9 -t 1 --samples 3 --seed 4 --json -q".split(" ");
    const sampled = await run("sample", given[0]!, "12+", ...given.slice(1), ...drawn);
    const texts = sampled.text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).text);
    const complete = (body: object) => ask(server.url, "/v1/completions", { prompt: "12+", ...body });
    const found = await complete({ max_tokens: 9, seed: 4, n: 3 });
    expect(found.body.choices.map(({ text }: { text: string }) => text)).toEqual(texts);
    if (argv.includes("switch") || argv.includes("--skip-layers")) {
      const { status, body } = await complete({ echo: true, logprobs: 1 });
      expect([status, body.error.message]).toEqual([
        400,
        "a writes in a way that says nothing of texts that are given",
      ]);
      return;
    }
    // What the models say of a text that they have written is what they said when they wrote it.
    const asked = { max_tokens: 6, seed: 5, logprobs: 2 };
    const { logprobs: written } = (await complete(asked)).body.choices[0];
    const ids = written.tokens.map((token: string) =>
      token.startsWith("token_id:") ? Number(token.slice(9)) : token.codePointAt(0),
    );
    const kept = ids.slice(0, written.tokens.indexOf("<eos>") < 0 ? undefined : written.tokens.indexOf("<eos>"));
    const prompt = [...new TextEncoder().encode("12+"), ...kept];
    for (const count of [1, 2]) {
      const judged = await ask(server.url, "/v1/completions", { prompt, max_tokens: 0, echo: true, logprobs: count });
      const logs = judged.body.choices[0].logprobs.token_logprobs.slice(3);
      for (const [i, log] of logs.entries())
        expect([i, log]).toEqual([i, expect.closeTo(written.token_logprobs[i], 3)]);
      expect(logs.length).toBe(kept.length);
    }
  } finally {
    await server.stop();
  }
});
