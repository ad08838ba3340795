"""The verbs that read the database: `status`, `results`, `export`, `find`, `compare`, `show`, `view` …"""
