# oxsan: what to type. Everything honours CARGO_TARGET_DIR; each goal installs what it needs and says so.
#   make demo         a kernel-made volume, served, discovered, mounted and compared: about a minute after the build
#   make test         every check there is, with fixed samples (root for the kernel lab and the mounts)
#   make quick        the part that needs no root and no network
#   make bench        oxsan beside its peers, in one run; tables into bench-results/
#   make conformance  the suites of others, whole: pjdfstest and fsx on our mounts, libiscsi's against our target
#   make soak         the property tests and fuzz bodies with large counts, then libFuzzer: some hours; less with
#                     SOAK=5 (times the samples of make test; 50) FUZZ=20 (seconds for each fuzz target; 300) SEED=n
.PHONY: demo test quick bench conformance soak clean
XTASK = cargo run --quiet --package xtask --
SOAK = 50
FUZZ = 300

demo:
	@./scripts/install-deps demo
	@./scripts/demo

test:
	@./scripts/install-deps test
	@$(XTASK) test

quick:
	@./scripts/install-deps quick
	@$(XTASK) quick

bench:
	@./scripts/install-deps bench
	@$(XTASK) bench

conformance:
	@./scripts/install-deps test
	@$(XTASK) conformance

soak:
	@./scripts/install-deps soak
	@$(XTASK) soak --times $(SOAK) --fuzz-seconds $(FUZZ) $(if $(SEED),--seed $(SEED))

clean:
	cargo clean
