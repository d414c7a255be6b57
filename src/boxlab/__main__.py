from boxlab.cli import main

main()
