import { runAs } from "./repository/main.ts";

runAs("repo-add");
