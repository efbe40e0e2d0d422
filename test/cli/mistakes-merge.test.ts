/** Mistakes of users who merge, each followed as its message says. */
import { testMistakes } from "./mistakes.ts";

testMistakes([
  {
    typed: "ingot merge recipe.yml ./out",
    says: "a recipe takes no further arguments, found recipe.yml ./out",
    follow: "ingot merge recipe.yml -o ./out",
    gives: "out/model.safetensors",
  },
  {
    typed: "ingot merge recipe.yaml -o m2/",
    says: "did you mean recipe.yml?",
    follow: "ingot merge recipe.yml -o m2/",
    gives: "m2/model.safetensors",
  },
  {
    typed: "ingot merge one two --method ties -o m3/",
    says: "ties needs a base model",
    follow: "ingot merge one two --method ties --base base -o m3/",
    gives: "m3/model.safetensors",
    own: "base",
  },
  {
    typed: "ingot merge one two --base base --method tie -o m4/",
    says: "did you mean ties?",
    follow: "ingot merge one two --base base --method ties -o m4/",
    gives: "m4/model.safetensors",
  },
  {
    typed: "ingot merge one two --base base --merge-method ties -o m5/",
    says: "here it is --method",
    follow: "ingot merge one two --base base --method ties -o m5/",
    gives: "m5/model.safetensors",
  },
  {
    typed: "ingot merge one two --base base --method ties --densty 0.5 -o m6/",
    says: "did you mean --density?",
    follow: "ingot merge one two --base base --method ties --density 0.5 -o m6/",
    gives: "m6/model.safetensors",
  },
  {
    typed: "ingot merge one two --base base --method linear --density 0.5 -o m7/",
    says: "linear has no option --density",
    follow: "ingot merge one two --base base --method ties --density 0.5 -o m7/",
    gives: "m7/model.safetensors",
  },
  {
    typed: "ingot merge one two --method linear --weight 0.7 0.3 -o m8/",
    says: "values of a list have commas between",
    follow: "ingot merge one two --method linear --weight 0.7,0.3 -o m8/",
    gives: "m8/model.safetensors",
  },
  {
    typed: "ingot merge one two --method average -o m9/",
    says: "did you mean linear?",
    follow: "ingot merge one two --method linear -o m9/",
    gives: "m9/model.safetensors",
  },
  {
    typed: "ingot merge one two --base base --method ties --set density:mlp:0.5 -o m10/",
    says: "did you mean --set density:mlp=0.5?",
    follow: "ingot merge one two --base base --method ties --set density:mlp=0.5 -o m10/",
    gives: "m10/model.safetensors",
  },
  {
    typed: "ingot merge one two --method linear --weight 0.5 --shard 1 -o m11/",
    says: "--shard 1 is not I/N",
    follow: "ingot merge one two --method linear --weight 0.5 --shard 2/8 -o m11/",
    gives: "m11",
  },
  {
    typed: "ingot merge one two -o m12/",
    says: "no --method and no recipe",
    follow: "ingot merge one two --method linear -o m12/",
    gives: "m12/model.safetensors",
  },
  {
    typed: "ingot merge one two --method linear --output-dir m13/",
    says: "here it is --out",
    follow: "ingot merge one two --method linear --out m13/",
    gives: "m13/model.safetensors",
  },
  {
    typed: "ingot merge one two --method linear --dtype float17 -o m14/",
    says: "use float32, float16 or bfloat16",
    follow: "ingot merge one two --method linear --dtype bfloat16 -o m14/",
    gives: "m14/model.safetensors",
  },
  {
    typed: "ingot merge --config recipe.yml --method ties -o m15/",
    says: "recipe.yml sets the method and its parameters",
    follow: "ingot merge --config recipe.yml -o m15/",
    gives: "m15/model.safetensors",
  },
  {
    typed: "ingot inspect one two",
    says: "did you mean --diff two?",
    follow: "ingot inspect one --diff two",
    gives: /tensors compared/,
  },
  {
    typed: "ingot marge one two --method linear -o m17/",
    says: "unknown script marge",
    follow: "ingot merge one two --method linear -o m17/",
    gives: "m17/model.safetensors",
  },
  {
    typed: "ingot sample one hi --max-new-tokens 3",
    says: "here it is --max-tokens",
    follow: "ingot sample one hi --max-tokens 3",
    gives: /sample: 3 tokens/,
  },
  {
    typed: "ingot sample one",
    says: "write one after the model",
    follow: 'ingot sample one --prompt "TEXT"',
    gives: /sample: \d+ tokens/,
  },
]);
