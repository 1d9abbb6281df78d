"""List the settings files that ship with the package, with the first line of what each says about itself.

  speakerid configs
  speakerid train few_minutes data.root=data/mine run_dir=runs/mine

`train` takes their names in place of a path. --path prints the file of one, to read it or to start another from it:
  cp "$(speakerid configs --path few_minutes)" mine.yaml
"""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--path", metavar="NAME", help="print the path of this one instead")


def run(options: argparse.Namespace) -> int:
    from speakerid.config.shipped import find_config, shipped_configs

    if options.path is not None:
        print(find_config(options.path))
        return 0
    shipped = shipped_configs()
    width = max(map(len, shipped), default=0)
    for name, path in shipped.items():
        with path.open(encoding="utf-8") as file:
            print(f"{name:<{width}}  {file.readline().removeprefix('#').strip()}")
    return 0
