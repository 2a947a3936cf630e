# Functions for the scripts beside it. They install the tools of the checks, with pinned versions, in target/tools.

tools="$PWD/target/tools"
export PIP_DISABLE_PIP_VERSION_CHECK=1

# Prints the name of the next step and the elapsed seconds.
step() {
  printf '\n== %s (%d s)\n' "$1" "$SECONDS"
}

# Requires Java, Node, npm, curl, Python and Chromium. Installs missing ones with apt-get.
need_prerequisites() {
  local missing=()
  command -v java >/dev/null || missing+=(openjdk-17-jre-headless)
  command -v npm >/dev/null || missing+=(nodejs npm)
  command -v curl >/dev/null || missing+=(curl)
  command -v chromium >/dev/null || missing+=(chromium fonts-dejavu-core)
  python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv python3-pip)
  if ((${#missing[@]})); then
    apt-get update --quiet=2 && apt-get install --quiet=2 --yes --no-install-recommends "${missing[@]}"
  fi
  if ! node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 20 ? 1 : 0)'; then
    echo "Node $(node --version) is too old: install Node 20.10 or newer" >&2
    return 1
  fi
  java -version 2>&1 | head -1
  echo "node $(node --version), npm $(npm --version), $(python3 --version), $(cargo --version)"
}

# Installs a tool from crates.io: need_cargo_tool NAME VERSION.
need_cargo_tool() {
  local root="$tools/$1-$2"
  if [[ ! -x $root/bin/$1 ]]; then
    cargo install "$1" --version "$2" --locked --debug --quiet --root "$root" --target-dir "$tools/build"
    rm -rf "$tools/build"
  fi
  export PATH="$root/bin:$PATH"
}

# Installs the SAM CLI and cfn-lint in a virtual environment.
need_sam() {
  local venv="$tools/sam-1.170.0"
  if [[ ! -x $venv/bin/sam ]]; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet aws-sam-cli==1.170.0 cfn-lint==1.58.0
  fi
  export PATH="$venv/bin:$PATH"
}

# Runs Python with the packages of the SAM CLI.
sam_python() {
  AWS_DEFAULT_REGION=us-east-1 "$tools/sam-1.170.0/bin/python" "$@"
}
