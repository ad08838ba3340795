"""The verbs that keep an installation in order: `doctor`, `config`, `health`, `purge`, `audit`, `db`,  …"""
