/** Mistakes of users who compare unlearning, each followed as its message says. */
import { testMistakes } from "./mistakes.ts";

testMistakes([
  {
    typed: "ingot unlearn base --method kl --forget forget.jsonl --retain retain.jsonl --steps 1 --batch-size 2 -o u1/",
    says: "did you mean kl-min?",
    follow:
      "ingot unlearn base --method kl-min --forget forget.jsonl --retain retain.jsonl --steps 1 --batch-size 2 -o u1/",
    gives: "u1/model.safetensors",
  },
  {
    typed: "ingot unlearn base --method ga --forget forget.jsonl --retain retain.jsonl --steps 1 --batch-size 2 -o u2/",
    says: "did you mean grad-ascent?",
    follow:
      "ingot unlearn base --method grad-ascent --forget forget.jsonl --retain retain.jsonl --steps 1 --batch-size 2 -o u2/",
    gives: "u2/model.safetensors",
  },
  {
    typed: "ingot unlearn base --method npo --forget forget.jsonl --steps 1 --batch-size 2 -o u3/",
    says: "--retain is missing",
    follow: "ingot unlearn base --method npo --forget forget.jsonl --retain-weight 0 --steps 1 --batch-size 2 -o u3/",
    gives: "u3/model.safetensors",
  },
  {
    typed:
      "ingot unlearn base --method npo --forget-data forget.jsonl --retain retain.jsonl --steps 1 --batch-size 2 -o u4/",
    says: "here it is --forget",
    follow:
      "ingot unlearn base --method npo --forget forget.jsonl --retain retain.jsonl --steps 1 --batch-size 2 -o u4/",
    gives: "u4/model.safetensors",
  },
  {
    typed:
      "ingot unlearn base --method npo --forget forget.jsonl --retain forget.jsonl --steps 1 --batch-size 2 -o u5/",
    says: "--forget forget.jsonl and --retain forget.jsonl are the same rows",
    follow:
      "ingot unlearn base --method npo --forget forget.jsonl --retain retain.jsonl --steps 1 --batch-size 2 -o u5/",
    gives: "u5/model.safetensors",
    own: "retain.jsonl",
  },
  {
    typed: "ingot unlearn base --method npo --data forget.jsonl --retain retain.jsonl --steps 1 --batch-size 2 -o u6/",
    says: "here it is --forget",
    follow:
      "ingot unlearn base --method npo --forget forget.jsonl --retain retain.jsonl --steps 1 --batch-size 2 -o u6/",
    gives: "u6/model.safetensors",
  },
  {
    typed:
      "ingot unlearn base --method npo --forget forget.jsonl --retain retain.jsonl --gamma 2 --steps 1 --batch-size 2 -o u7/",
    says: "here it is --forget-weight",
    follow:
      "ingot unlearn base --method npo --forget forget.jsonl --retain retain.jsonl --forget-weight 2 --steps 1 --batch-size 2 -o u7/",
    gives: "u7/model.safetensors",
  },
  {
    typed:
      "ingot unlearn base --method npo --forget forget.jsonl --retain retain.jsonl --rho 0.1 --steps 1 --batch-size 2 -o u8/",
    says: "--rho has no effect without --smooth cr, gp, rs or sam",
    follow:
      "ingot unlearn base --method npo --forget forget.jsonl --retain retain.jsonl --rho 0.1 --smooth sam --steps 1 --batch-size 2 -o u8/",
    gives: "u8/model.safetensors",
  },
  {
    typed: "ingot unlearn base --method ssd --forget forget.jsonl --retain retain.jsonl --lora -o u9/",
    says: "leave out --lora",
    follow: "ingot unlearn base --method ssd --forget forget.jsonl --retain retain.jsonl -o u9/",
    gives: "u9/model.safetensors",
  },
  {
    typed: "ingot evaluate base --data forget.jsonl --metric privleak",
    says: "needs a group named holdout",
    follow: "ingot evaluate base --data forget.jsonl --metric privleak --data holdout=holdout.jsonl",
    gives: /privleak[\s\S]*?\sbase +-?[\d.]+/,
    own: "holdout.jsonl",
  },
  {
    typed: "ingot evaluate base --data forget.jsonl --metric privleak --holdout-group forget",
    says: "--forget-group and --holdout-group both name forget",
    follow: "ingot evaluate base --data forget.jsonl --metric privleak --data holdout=holdout.jsonl",
    gives: /privleak[\s\S]*?\sbase +-?[\d.]+/,
    own: "holdout.jsonl",
  },
  {
    typed: "ingot evaluate base --data forget.jsonl --data holdout=forget.jsonl --metric mia-loss",
    says: "forget and holdout hold the same rows",
    follow: "ingot evaluate base --data forget.jsonl --data holdout=holdout.jsonl --metric mia-loss",
    gives: /mia-loss[\s\S]*?\sbase +-?[\d.]+/,
    own: "holdout.jsonl",
  },
  {
    typed: "ingot evaluate base --data forget.jsonl --metric forget-quality",
    says: "and needs --gold",
    follow: "ingot evaluate base --data forget.jsonl --metric forget-quality --gold one",
    gives: /forget-quality[\s\S]*?\sbase +-?[\d.]+/,
    own: "one",
  },
  {
    typed: "ingot evaluate base --data forget.jsonl --metric rougeL --max-tokens 4",
    says: "did you mean rouge-l?",
    follow: "ingot evaluate base --data forget.jsonl --metric rouge-l --max-tokens 4",
    gives: /rouge-l[\s\S]*?\sbase +-?[\d.]+/,
  },
  {
    typed: "ingot evaluate base --data forget.jsonl --metrics loss",
    says: "here it is --metric",
    follow: "ingot evaluate base --data forget.jsonl --metric loss",
    gives: /loss[\s\S]*?\sbase +-?[\d.]+/,
  },
  {
    typed: "ingot evaluate base --data forget.jsonl --metric ppl",
    says: "did you mean perplexity?",
    follow: "ingot evaluate base --data forget.jsonl --metric perplexity",
    gives: /perplexity[\s\S]*?\sbase +-?[\d.]+/,
  },
  {
    typed: "ingot evaluate base --data forget.jsonl --metric model-utility --max-tokens 4",
    says: "needs a group named retain, real or world",
    follow: "ingot evaluate base --data forget.jsonl --metric model-utility --max-tokens 4 --data retain=retain.jsonl",
    gives: /model-utility[\s\S]*?\sbase +-?[\d.]+/,
    own: "retain.jsonl",
  },
  {
    typed: "ingot evaluate base --data secrets=forget.jsonl --data holdout.jsonl --metric mia-loss",
    says: "needs a group named forget",
    follow:
      "ingot evaluate base --data secrets=forget.jsonl --data holdout.jsonl --metric mia-loss --forget-group secrets",
    gives: /mia-loss[\s\S]*?\sbase +-?[\d.]+/,
  },
  {
    typed: "ingot evaluate base --data choice.jsonl --metric choice",
    says: "rows of choices are for ingot evaluate --metric choice",
    follow: "ingot evaluate base --data choice.jsonl --metric choice --columns prompt=question",
    gives: /choice[\s\S]*?\sbase +-?[\d.]+/,
  },
  {
    typed: "ingot evaluate base --data forget.jsonl --metric loss --load-in-4bit",
    says: "here it is --quantize 4",
    follow: "ingot evaluate base --data forget.jsonl --metric loss --quantize 4",
    gives: /loss[\s\S]*?\sbase +-?[\d.]+/,
  },
  {
    typed: "ingot evaluate base --data forget.jsonl --metric loss --min-k 0.2",
    says: "metrics with --min-k: mia-min-k",
    follow: "ingot evaluate base --data forget.jsonl --data holdout.jsonl --metric mia-min-k --min-k 0.2",
    gives: /mia-min-k[\s\S]*?\sbase +-?[\d.]+/,
    own: "--data holdout.jsonl",
  },
  {
    typed:
      "ingot unlearn base --method npo --forget forget.jsonl --retain retain.jsonl --steps 1 --batch-size 2 --alpha 2 -n",
    says: "here it is --retain-weight; methods with --alpha: ssd",
    follow:
      "ingot unlearn base --method npo --forget forget.jsonl --retain retain.jsonl --steps 1 --batch-size 2 --retain-weight 2 -n",
    gives: /forget/,
  },
  {
    typed: "ingot unlearn tiny.json --forget forget.jsonl --retain retain.jsonl --steps 1 --batch-size 2 -n",
    says: "name the folder of a trained model",
    follow: "ingot unlearn base --forget forget.jsonl --retain retain.jsonl --steps 1 --batch-size 2 -n",
    gives: /forget/,
    own: "base",
  },
  {
    typed: "ingot unlearn base --method ssd --importance one/model.safetensors --forget forget.jsonl -o u12/",
    says: "ingot unlearn importance MODEL --retain FILE -o importance.safetensors",
    follow: "ingot unlearn importance base --retain retain.jsonl -o importance.safetensors",
    gives: "importance.safetensors",
    own: "base retain.jsonl",
  },
  {
    typed: "ingot evaluate base --data forget.jsonl --metric loss,loss",
    says: "--metric names loss twice",
    follow: "ingot evaluate base --data forget.jsonl --metric loss",
    gives: /loss[\s\S]*?\sbase +-?[\d.]+\n(?!base #2)/,
    own: "loss",
  },
  {
    typed: "ingot evaluate base --data forget.jsonl --data retain.jsonl --metric privleak",
    says: "add such rows: --data holdout=rows.jsonl",
    follow:
      "ingot evaluate base --data forget.jsonl --data retain.jsonl --metric privleak --data holdout=holdout.jsonl",
    gives: /privleak[\s\S]*?\sbase +-?[\d.]+/,
    own: "holdout.jsonl",
  },
  {
    typed: "ingot evaluate base --data forget.jsonl --metric loss -o e.pdf",
    says: "end the name in .csv, .json",
    follow: "ingot evaluate base --data forget.jsonl --metric loss -o e.csv",
    gives: "e.csv",
    own: "e.csv",
  },
  {
    typed: "ingot evaluate base --data forget.jsonl --data holdout.jsonl --metric mia-gradnorm --offload",
    says: "goes back through the layers",
    follow: "ingot evaluate base --data forget.jsonl --data holdout.jsonl --metric mia-gradnorm",
    gives: /mia-gradnorm[\s\S]*?\sbase +-?[\d.]+/,
  },
  {
    typed: "ingot evaluate base --data forget.jsonl --attack relearn --probe trace",
    says: "run them apart, one evaluate each",
    follow: "ingot evaluate base --data forget.jsonl --probe trace",
    gives: /mlp/,
  },
]);
