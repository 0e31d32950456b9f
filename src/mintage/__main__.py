from mintage.cli import main

main()
